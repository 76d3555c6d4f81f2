"""In: task_list, task_show, task_attempts, task_events, task_logs. Out: logs.follow, while somebody follows a log."""

import time
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from signalbox_chassis.blobs import BlobStoreFailed
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_gateway import consumer_presence
from signalbox_gateway.http.access import permission, still_may, visible
from signalbox_gateway.http.configured import NOT_CONFIGURED, blob_store
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.log_following import AttemptLog, Piece
from signalbox_gateway.read_model import progress, queries, services, wait_details, wait_reasons
from signalbox_gateway.read_model.queries import TaskFilter
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import (
    Cursor,
    Ids,
    Limit,
    MinVersion,
    Reasons,
    TaskStates,
    Until,
    Wait,
    Words,
    after,
    answer,
    missing,
    page,
    seconds,
)

_ENDS: Final = frozenset(state.value for state in TASK_ENDS)
_TEXT: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
"""A log is whatever the program wrote: no browser may take it for anything but text."""
HEARTBEAT_SECONDS: Final = 15.0
"""How long a followed log with marks is silent before its offset is repeated: what is in between keeps it open."""
_MARKS: Final = (
    "With `follow`: after each piece, and every 15 s, a zero byte, the next offset (`since`) and a line end; "
    "at the end of the log a zero byte and `end`. Zero bytes of the log itself are sent as `?`."
)


router = PrefixRouter(prefix="/tasks", tags=["tasks"], dependencies=[Depends(permission("task.read"))])


@router.get("", operation_id="task_list", response_model=answers.page_of(answers.Task))
async def task_list(
    request: Request,
    deps: Deps,
    plan: Ids = [],  # noqa: B006
    state: TaskStates = [],  # noqa: B006
    engine: Words = [],  # noqa: B006
    why: Reasons = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Tasks, newest first; of one plan by position."""
    kind = "tasks_of_plan" if len(plan) == 1 else "tasks"
    begin = after(kind, cursor)
    wanted = TaskFilter(plan=plan, state=state, engine=engine, why=why, visible=visible(request))
    async with deps.database.connection() as connection:
        return page(kind, await queries.tasks(connection, wanted, limit=limit, after=begin))


@router.get("/{id}", operation_id="task_show", response_model=answers.TaskShown)
async def task_show(
    deps: Deps, id: UUID, wait: Wait = None, min_version: MinVersion = None, until: Until = None
) -> Response:
    """A task; with `wait`, as soon as it has that version or its end."""

    def enough(seen: queries.Answer | None) -> bool:
        return seen is None or (
            (min_version is None or seen["version"] >= min_version) and (until is None or seen["state"] in _ENDS)
        )

    seen = await deps.waits.until(id, lambda: _task(deps, id), enough, seconds=seconds(wait))
    if seen is None:
        raise missing("task", id)
    async with deps.database.connection() as connection:
        seen = await wait_details.of_task(connection, seen)
        seen["progress"] = (await progress.load_progress(connection, [id])).get(id)
        waits = seen["state"] not in _ENDS and seen["waiting"] is None and consumer_presence.late(seen["queued_at"])
        letter = await queries.parked_of(connection, seen["plan_id"]) if waits else None
        found = (await services.health(connection))["troubles"] if waits else []
    if letter is not None:
        return answer({**seen, "waiting": wait_reasons.parked(letter, seen["plan_id"])})
    if failing := next((one for one in found if one["service"] == "executor"), None):
        return answer({**seen, "waiting": wait_reasons.failing(failing)})
    if (
        seen["state"] == TaskState.QUEUED.value
        and seen["waiting"] is None
        and consumer_presence.late(seen["queued_at"])
    ):
        return answer({**seen, "waiting": await consumer_presence.executor(deps)})
    return answer(seen)


@router.get("/{id}/attempts", operation_id="task_attempts", response_model=answers.page_of(answers.Attempt))
async def task_attempts(deps: Deps, id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The attempts of a task."""
    begin = after("attempts", cursor)
    await _must_be_there(deps, id)
    async with deps.database.connection() as connection:
        return page("attempts", await queries.task_attempts(connection, id, limit=limit, after=begin))


@router.get("/{id}/events", operation_id="task_events", response_model=answers.page_of(answers.TaskEvent))
async def task_events(deps: Deps, id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The state transitions of a task."""
    begin = after("events", cursor)
    await _must_be_there(deps, id)
    async with deps.database.connection() as connection:
        return page("events", await queries.task_events(connection, id, limit=limit, after=begin))


@router.get("/{id}/logs", operation_id="task_logs", response_class=PlainTextResponse, responses=NOT_CONFIGURED)
async def task_logs(
    deps: Deps,
    request: Request,
    id: UUID,
    attempt: Annotated[int | None, Query(ge=1, description="Which attempt; by default the current one.")] = None,
    tail: Annotated[int | None, Query(ge=0, le=100_000, description="Only the last lines.")] = None,
    since: Annotated[int, Query(ge=0, description="Only from this byte on.")] = 0,
    follow: Annotated[bool, Query(description="Stream new output until the attempt has ended.")] = False,
    marks: Annotated[bool, Query(description=_MARKS)] = False,
) -> Response:
    """The log of an attempt, by default of the current one."""
    task = await _must_be_there(deps, id)
    log = AttemptLog(deps.database, blob_store(deps), id, attempt or task["attempt"], request.state.principal.actor)

    async def pieces() -> AsyncIterator[Piece]:
        at = since
        if tail is not None:
            text, at = await log.tail(tail)
            yield text, at, False
        if follow:
            async for piece in log.followed(task, at, lambda: still_may(request, "task.read")):
                yield piece
        elif tail is None:
            async for piece in log.stored(at):
                yield piece

    stream = pieces()
    try:
        first = await anext(stream)  # a store that fails now is a problem, not a cut answer
    except StopAsyncIteration:
        first = b"", since, False
    except BlobStoreFailed as failed:
        raise Problem("unavailable", f"the blob store does not answer: {failed}") from failed
    content = _marked(first, stream) if marks and follow else _texts(first, stream)
    return StreamingResponse(content, media_type="text/plain; charset=utf-8", headers=_TEXT)


async def _texts(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    yield first[0]
    async for text, _, _ in rest:
        if text:
            yield text


async def _marked(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    """Each piece with the offset after it; a silent log repeats its offset."""
    yield _mark(*first)
    marked_at = time.monotonic()
    async for text, offset, ended in rest:
        if text or ended or time.monotonic() - marked_at > HEARTBEAT_SECONDS:
            marked_at = time.monotonic()
            yield _mark(text, offset, ended)


def _mark(text: bytes, offset: int, ended: bool) -> bytes:
    return text.replace(b"\0", b"?") + b"\0%d\n" % offset + (b"\0end\n" if ended else b"")


async def _task(deps: Dependencies, id: UUID) -> queries.Answer | None:
    async with deps.database.connection() as connection:
        return await queries.task(connection, id)


async def _must_be_there(deps: Dependencies, id: UUID) -> queries.Answer:
    task = await _task(deps, id)
    if task is None:
        raise missing("task", id)
    return task
