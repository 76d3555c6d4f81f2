"""Definitions as people write them: an id made of the name, a name made of the id."""

import re
import unicodedata
from typing import Any, Final

from pydantic import JsonValue

from signalbox_gateway.http.problems import invalid

_NOT_ALLOWED: Final = re.compile(r"[^a-z0-9._-]+")


def named(said: dict[str, JsonValue], *, id: str | None = None) -> dict[str, Any]:
    """The definition with both id and name. `id` is the one in the path: another in the body is refused."""
    found = dict(said)
    if id is not None and found.setdefault("id", id) != id:
        raise invalid("id", found["id"], f"must be {id}, as in the path: an id does not change")
    name = found.get("name")
    if "id" not in found and isinstance(name, str):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()  # letters without marks
        made = _NOT_ALLOWED.sub("-", plain).strip("-._")[:100].rstrip("-._")
        if not made:
            raise invalid("id", None, "is missing, and cannot be made of this name")
        found["id"] = made
    if "name" not in found and isinstance(found.get("id"), str):
        found["name"] = found["id"]
    for ours in ("revision", "created_at", "updated_at", "updated_by", "state"):
        found.pop(ours, None)  # what was shown may be sent back
    return found
