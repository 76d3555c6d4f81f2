"""In: audit_list, audit_export, audit_verify. Changes: nothing; entries that wait are chained first."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import JsonValue
from pydantic_core import to_json

from signalbox_gateway.http.access import permission
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import Cursor, InstantParameter, Limit, after, answer
from signalbox_gateway.store import audit
from signalbox_gateway.store.audit import AuditFilter

router = PrefixRouter(prefix="/audit", tags=["audit"])
Reader = Depends(permission("audit.read"))
Verifier = Depends(permission("audit.verify"))
_MAX_PASSES: Final = 200
_OUTCOMES: Final = "^(done|refused|unauthenticated|failed)?$"
_LINES: Final[dict[str, Any]] = {"schema": {"type": "string"}, "example": '{"seq": 1, "actor": "user:ann"}\n'}


class AuditAnswer(answers.AnswerModel):
    """Who did what, to what, why, from where, and how it ended."""

    seq: int
    at: datetime
    actor: str
    action: str
    """The operation, such as `plan_cancel`."""
    target: str
    """The path below `/api/v1`."""
    outcome: Literal["done", "refused", "unauthenticated", "failed"]
    status: int
    reason: str
    detail: str
    address: str
    user_agent: str
    credential: str
    """The id of the key or session."""
    trace_id: str
    before: JsonValue
    after: JsonValue
    hash: str
    """SHA-256 over the hash of the entry before, this one's number, instant and record."""


class Verification(answers.AnswerModel):
    """Whether the chain is as it was written."""

    good: bool
    entries: int
    last_seq: int
    broken_at: int | None
    detail: str


@router.get("", operation_id="audit_list", response_model=answers.page_of(AuditAnswer), dependencies=[Reader])
async def audit_list(
    deps: Deps,
    actor: Annotated[str, Query(max_length=255, description="Who: `user:ann`.")] = "",
    target: Annotated[str, Query(max_length=500, description="A path, such as `/plans/…`, and those below.")] = "",
    action: Annotated[str, Query(max_length=100, description="An operation id.")] = "",
    outcome: Annotated[
        str, Query(pattern="^(done|refused|unauthenticated|failed)?$", description="How it ended.")
    ] = "",
    since: Annotated[InstantParameter | None, Query(description="At this instant or later.")] = None,
    until: Annotated[InstantParameter | None, Query(description="Before this instant.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Entries of the audit trail, newest first."""
    begin = after("audit", cursor)
    await _chain_all(deps)
    wanted = AuditFilter(actor, target.removeprefix("/api/v1"), action, outcome, since, until)
    async with deps.database.connection() as connection:
        rows = await audit.list_entries(connection, wanted, before=begin[0] if begin else None, limit=limit + 1)
    last = [rows[limit - 1]["seq"]] if len(rows) > limit else None
    return answer({"items": list(map(audit.shown, rows[:limit])), "next_cursor": cursors.encode("audit", last)})


@router.get(
    "/export", operation_id="audit_export", dependencies=[Reader], response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": _LINES}}},
)  # fmt: skip
async def audit_export(
    deps: Deps, from_seq: Annotated[int, Query(ge=1, le=2**62, description="The first entry to export.")] = 1
) -> Response:
    """The audit trail as JSON Lines, oldest entry first. Each line holds the input of its hash."""
    await _chain_all(deps)

    async def lines() -> AsyncIterator[bytes]:
        async for row in audit.entries(deps.database, from_seq - 1):
            yield to_json({**audit.shown(row), "record": row["record"]}) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.get("/verify", operation_id="audit_verify", response_model=Verification, dependencies=[Verifier])
async def audit_verify(deps: Deps) -> Response:
    """Verify the hash chain of all entries."""
    await _chain_all(deps)
    found = await audit.verify(deps.database)
    return answer(
        {
            "good": found.broken_at is None, "entries": found.entries, "last_seq": found.last_seq,
            "broken_at": found.broken_at, "detail": found.detail,
        }
    )  # fmt: skip


async def _chain_all(deps: Dependencies) -> None:
    """Chain what waits, so that a caller sees its own calls."""
    for _ in range(_MAX_PASSES):
        if not await audit.chain(deps.database):
            return


def examples() -> dict[str, dict[str, Any]]:
    """By operation id."""
    entry = {
        "seq": 42, "at": "2026-03-29T01:00:00Z", "actor": "user:ann", "action": "plan_cancel",
        "target": "/plans/018f6f2e-0000-7000-8000-000000000001/cancel", "outcome": "done", "status": 202,
        "reason": "wrong input", "detail": "", "address": "10.1.2.3", "user_agent": "signalbox/0.1",
        "credential": "k3yk3yk3yk3y", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "before": None, "after": None,
        "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }  # fmt: skip
    good = {"good": True, "entries": 42, "last_seq": 42, "broken_at": None, "detail": "every entry fits the one before"}
    return {"audit_list": {"response": {"items": [entry], "next_cursor": None}}, "audit_verify": {"response": good}}
