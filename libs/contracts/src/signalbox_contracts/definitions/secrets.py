"""References to secrets: `secret://name` anywhere in a definition. Values never enter a definition or an event."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

_REFERENCE: Final = re.compile(r"secret://([A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?)")

SecretRef = Annotated[str, Field(pattern=r"^secret://[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$")]
"""A field that must be a reference: passwords, tokens, keys."""


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
