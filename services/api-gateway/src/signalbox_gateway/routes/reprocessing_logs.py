"""In: reprocess_logs, the log viewer's address. Changes: nothing.
Out: logs.follow, while somebody looks at workers that run.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from signalbox_chassis.blobs import Blobs, BlobStoreFailed
from signalbox_contracts.definitions.problems import Problem as Field
from signalbox_contracts.states import TASK_ENDS
from signalbox_gateway import attempt_logs, worker_logs
from signalbox_gateway.http import console
from signalbox_gateway.http.access import permission
from signalbox_gateway.http.configured import NOT_CONFIGURED, blob_store
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.read_model import queries
from signalbox_gateway.read_model import reprocessing as rows
from signalbox_gateway.read_model.queries import TaskFilter
from signalbox_gateway.routes.params import answer, missing
from signalbox_gateway.routes.reprocessing_answers import MergedLogs, WorkerLogs
from signalbox_gateway.worker_logs import WorkerLine

router = PrefixRouter(prefix="/api/admin/reprocessing", tags=["reprocessing"])
WORKERS: Final = 50
READS_AT_ONCE: Final = 8
LINES_BEFORE: Final = 100
"""Lines read before those that are shown: a line without a time takes it from there."""
PREFIX: Final = "worker/"
"""What the keys of a job's items begin with; the worker's index follows."""
INDEXED: Final = "workers"
"""The key of the only item of a job whose workers are the pods of an Indexed Job."""
_ENDS: Final = frozenset(state.value for state in TASK_ENDS)


@router.get(
    "/jobs/{id}/logs", operation_id="reprocess_logs", response_model=WorkerLogs | MergedLogs, responses=NOT_CONFIGURED
)
async def reprocess_logs(
    id: UUID,
    deps: Deps,
    principal: Annotated[Any, Depends(permission("reprocessing.read"))],
    tail: Annotated[int, Query(ge=0, le=1000, description="Number of last lines of each worker.")] = 50,
    since: Annotated[float | None, Query(gt=0, le=864_000, description="Only lines of the last N seconds.")] = None,
    sort: Annotated[bool, Query(description="Lines of all workers, ordered by time.")] = False,
) -> Response:
    """The last lines of the workers' current attempts, of each worker or merged; up to 2 s old."""
    async with deps.database.connection() as connection:
        job = await rows.load(connection, id)
        if job is None:
            raise missing("reprocessing job", id)
        store = blob_store(deps)
        found = await queries.tasks(connection, TaskFilter(plan=[id]), limit=WORKERS)
    tasks = {int(task["item_key"].removeprefix(PREFIX)): task for task in found.items if _is_worker(task["item_key"])}
    indexed = next((task for task in found.items if task["item_key"] == INDEXED), None)
    live = [task for task in (indexed, *tasks.values()) if task is not None and task["state"] not in _ENDS]
    await asyncio.gather(*(deps.followed_logs.keep(deps.database, task, principal.actor) for task in live))
    after = None if since is None else deps.clock.now() - timedelta(seconds=since)
    at_once = asyncio.Semaphore(READS_AT_ONCE)

    async def read(index: int, task: queries.Answer, blobs: Blobs) -> tuple[list[WorkerLine], str | None]:
        async with at_once:
            return await _lines(blobs, index, task, tail, after)

    if indexed is not None:
        indexes, logs = await _pods(store, indexed, rows.shown(job)["total_workers"] or 1, tail, after)
        return answer(_merged(id, logs) if sort else _by_worker(id, indexes, logs))
    logs = await asyncio.gather(*(read(index, task, store) for index, task in sorted(tasks.items())))
    return answer(_merged(id, logs) if sort else _by_worker(id, sorted(tasks), logs))


@router.get("/jobs/{id}/logs/view", include_in_schema=False)
async def view_logs(id: UUID, request: Request) -> Response:
    """Send a browser to the log viewer, which asks people who are not signed in to sign in."""
    if "token" in request.query_params:
        raise Problem(
            "bad-request",
            "a token in an address ends up in histories and logs of proxies, so it is not taken: open this address "
            "without it and sign in, or sign in first with POST /api/v1/auth/login and cookie: true",
            errors=[Field("token", None, "no token in the query")],
        )
    return RedirectResponse(f"{console.PATH}/reprocessing/{id}/logs", 303)


def _is_worker(key: str) -> bool:
    digits = key.removeprefix(PREFIX)
    return key.startswith(PREFIX) and digits.isascii() and digits.isdecimal() and len(digits) < 6


async def _lines(
    blobs: Blobs, index: int, task: queries.Answer, tail: int, since: datetime | None
) -> tuple[list[WorkerLine], str | None]:
    """The lines of one worker, or why there are none."""
    try:
        pieces, _ = await attempt_logs.chunks(blobs, UUID(task["id"]), task["attempt"])
        text, _ = await attempt_logs.tail(blobs, pieces, tail + LINES_BEFORE)
    except BlobStoreFailed as failed:
        return [], f"the blob store does not answer: {failed}"
    if not pieces:
        return [], None if task["state"] in _ENDS else "nothing is stored of it yet"
    return worker_logs.newest(worker_logs.lines_of(index, text), tail=tail, since=since), None


async def _pods(
    blobs: Blobs, task: queries.Answer, workers: int, tail: int, since: datetime | None
) -> tuple[list[int], list[tuple[list[WorkerLine], str | None]]]:
    """The lines of every index of an Indexed Job, whose log is one."""
    error: str | None = None
    text = b""
    try:
        pieces, _ = await attempt_logs.chunks(blobs, UUID(task["id"]), task["attempt"])
        text, _ = await attempt_logs.tail(blobs, pieces, (tail + LINES_BEFORE) * workers)
        error = None if pieces or task["state"] in _ENDS else "nothing is stored of it yet"
    except BlobStoreFailed as failed:
        error = f"the blob store does not answer: {failed}"
    lines = worker_logs.lines_of_pods(text, workers)
    return list(lines), [(worker_logs.newest(found, tail=tail, since=since), error) for found in lines.values()]


def _by_worker(id: UUID, indexes: Sequence[int], logs: Sequence[tuple[list[WorkerLine], str | None]]) -> dict[str, Any]:
    found = [
        {"worker_index": index, "pod_name": _pod(id, index), "lines": [line.text for line in lines], "error": error}
        for index, (lines, error) in zip(indexes, logs, strict=True)
    ]
    return {"job_id": str(id), "sorted": False, "logs": found}


def _merged(id: UUID, logs: Sequence[tuple[list[WorkerLine], str | None]]) -> dict[str, Any]:
    lines = [
        {
            "timestamp": line.timestamp, "worker_index": line.worker_index, "pod_name": _pod(id, line.worker_index),
            "message": line.message,
        }
        for line in worker_logs.merged(lines for lines, _ in logs)
    ]  # fmt: skip
    return {"job_id": str(id), "sorted": True, "lines": lines}


def _pod(id: UUID, index: int) -> str:
    return f"reprocess-{id}-{index}"
