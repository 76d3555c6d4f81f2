"""A definition as a person writes it: the API makes an id from the name, and a name from the id."""

import re
import unicodedata
from typing import Any, Final

from pydantic import JsonValue

from signalbox_contracts.definitions.problems import InvalidDefinition, Problem

_NOT_ALLOWED: Final = re.compile(r"[^a-z0-9._-]+")
READ_ONLY: Final = ("revision", "created_at", "updated_at", "updated_by", "state")
"""Fields of an answer that a definition does not have. A caller may send an answer back: they are dropped."""


def complete(written: dict[str, JsonValue], *, id: str | None = None, versioned: bool = True) -> dict[str, Any]:
    """The definition with id and name. `id` is the one in the path. Raises `InvalidDefinition`.

    `versioned` kinds have a field `version` of their own; of others it is dropped as read-only.
    """
    definition = dict(written)
    if id is not None and definition.setdefault("id", id) != id:
        raise InvalidDefinition(
            (Problem("id", repr(definition["id"])[:100], f"must be {id}, as in the path: an id does not change"),)
        )
    name = definition.get("name")
    if "id" not in definition and isinstance(name, str):
        definition["id"] = _id_from(name)
    if "name" not in definition and isinstance(definition.get("id"), str):
        definition["name"] = definition["id"]
    for field in READ_ONLY if versioned else (*READ_ONLY, "version"):
        definition.pop(field, None)
    return definition


def _id_from(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    id = _NOT_ALLOWED.sub("-", ascii_name).strip("-._")[:100].rstrip("-._")
    if not id:
        raise InvalidDefinition((Problem("id", None, "is missing, and cannot be made of this name"),))
    return id
