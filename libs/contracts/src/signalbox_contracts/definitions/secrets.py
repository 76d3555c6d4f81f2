"""References to secrets: `secret://name` anywhere in a definition. Values never enter a definition or an event."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

_REFERENCE: Final = re.compile(r"secret://([A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?)")

SecretRef = Annotated[str, Field(pattern=r"^secret://[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$")]
"""A field that must be a reference: passwords, tokens, keys."""


SECRET_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "process": ("environment.*",),
    "kubernetes": ("environment.*", "secret_files.*"),
    "spark": ("environment.*",),
}
"""Where `secret://name` may stand in work of a kind: `field`, or `field.*` for the values of a mapping.

Elsewhere others would see the value, so it is refused."""


def is_secret_place(kind: str, place: str) -> bool:
    """Whether a reference may stand in this field of work of this kind."""
    return any(
        place == allowed or (allowed.endswith(".*") and place.startswith(allowed[:-1]))
        for allowed in SECRET_PLACES.get(kind, ())
    )


def why_misplaced(kind: str) -> str:
    """What is allowed instead, for a person."""
    places = SECRET_PLACES.get(kind, ())
    allowed = f"in {', '.join(places)} of {kind} work" if places else f"nowhere in {kind} work"
    return f"a secret may stand only {allowed}: others would see it here"


def secret_refs(value: object) -> frozenset[str]:
    """The names of all secrets a definition, or any part of one, refers to."""
    return frozenset(_names(value))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from _names(value.model_dump())
    elif isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for key, part in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _names(key)
            yield from _names(part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _names(part)
