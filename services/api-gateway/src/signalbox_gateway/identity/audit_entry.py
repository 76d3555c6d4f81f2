"""An entry of the audit trail: pure. What is secret never gets into one; each hash covers the entry before."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from pydantic_core import to_json

MAX_STATE_BYTES: Final = 16_384
"""Most of a state before or after that is kept."""
HIDDEN: Final = "***"
_SECRET: Final = re.compile(
    r"pass(word|phrase)?$|secret|token|^key$|credential|authorization|cookie|webhook_url|private|api_?key", re.I
)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, to what, why, from where, and how it ended."""

    actor: str
    action: str
    """The operation id, such as `plan_cancel`."""
    target: str
    """The path that was called, below `/api/v1`."""
    outcome: str
    """`done`, `refused` (permission), `unauthenticated` or `failed`."""
    status: int
    reason: str = ""
    detail: str = ""
    address: str = ""
    user_agent: str = ""
    credential: str = ""
    trace_id: str = ""
    before: Any = None
    after: Any = None

    def record(self) -> str:
        """The entry as JSON."""
        fields = asdict(self)
        for name in ("before", "after"):
            fields[name] = _bounded(without_secrets(fields[name]))
        return to_json(fields).decode()


def without_secrets(value: Any) -> Any:
    """The value with everything hidden whose name says that it is secret. References to secrets stay."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value)
        return {
            name: _hidden(inner) if _SECRET.search(name) else without_secrets(inner) for name, inner in pairs.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(inner) for inner in cast("list[Any]", value)]
    return value


def _hidden(value: Any) -> Any:
    is_reference = isinstance(value, str) and re.fullmatch(r"secret://[A-Za-z0-9._-]+", value)
    return value if value is None or isinstance(value, bool | int | float) or is_reference else HIDDEN


def _bounded(value: Any) -> Any:
    if value is None or len(text := to_json(value)) <= MAX_STATE_BYTES:
        return value
    return {"too_large": len(text), "sha256": hashlib.sha256(text).hexdigest()}


def chained(before: bytes, seq: int, at: str, record: str) -> bytes:
    """The hash of an entry: over the hash of the one before, its number, its instant and its text."""
    return hashlib.sha256(b"\n".join((before, str(seq).encode(), at.encode(), record.encode()))).digest()
