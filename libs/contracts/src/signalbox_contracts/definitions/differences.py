"""Differences between two forms of a definition, field by field. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pydantic import JsonValue

MAX_DIFFERENCES: Final = 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed field. `path` is a JSON Pointer (RFC 6901); an absent side is None."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: JsonValue
    after: JsonValue


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What changed, in the order of the fields; at most `MAX_DIFFERENCES`."""
    found: list[Difference] = []
    for difference in _compare("", before, after):
        found.append(difference)
        if len(found) == MAX_DIFFERENCES:
            break
    return found


def _compare(path: str, before: Any, after: Any) -> Iterator[Difference]:
    parts = _parts(before), _parts(after)
    if parts[0] is not None and parts[1] is not None and isinstance(before, Mapping) == isinstance(after, Mapping):
        yield from _pairs(path, parts[0], parts[1])
    elif before != after or type(before) is not type(after):
        yield Difference(path, "changed", before, after)


def _pairs(path: str, before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[Difference]:
    for name in [*before, *(name for name in after if name not in before)]:
        place = f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"
        if name not in after:
            yield Difference(place, "removed", before[name], None)
        elif name not in before:
            yield Difference(place, "added", None, after[name])
        else:
            yield from _compare(place, before[name], after[name])


def _parts(value: Any) -> dict[Any, Any] | None:
    """What an object or a list holds, by name or position; None for anything else."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, list | tuple):
        return dict(enumerate(cast("Sequence[Any]", value)))
    return None
