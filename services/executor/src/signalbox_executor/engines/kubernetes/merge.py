"""Merging a raw `podTemplate` into ours, as Kubernetes' own strategic merge does for the lists that matter. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists whose items are merged by this field. `tolerations` are added; any other list is replaced."""


def merge_template(ours: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The template with what `raw` adds or changes; a null removes a field."""
    merged = dict(ours)
    for name, value in raw.items():
        present = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(present, Mapping):
            merged[name] = merge_template(present, value)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list) and isinstance(present, list):
            merged[name] = _merge_lists(name, present, value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            merged[name] = value
    return merged


def _merge_lists(name: str, ours: Sequence[Any], raw: Sequence[Any]) -> list[Any]:
    if name == "tolerations":
        return [*ours, *raw]
    key = _KEYS.get(name)
    if key is None:
        return list(raw)
    merged = list(ours)
    for item in raw:
        at = next((at for at, one in enumerate(merged) if _same(one, item, key)), None)
        if at is None:
            merged.append(item)
        else:
            merged[at] = merge_template(merged[at], item)
    return merged


def _same(one: Any, other: Any, key: str) -> bool:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    return key in one and bool(one[key] == other.get(key))  # pyright: ignore[reportUnknownArgumentType]
