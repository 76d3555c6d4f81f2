"""Log lines of tasks as topics of a client's WebSocket. The gateway serves them itself: it reads the stored logs."""

import asyncio
import codecs
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import to_json

from signalbox_chassis.blobs import BlobStoreFailed
from signalbox_chassis.runtime.tasks import cancel
from signalbox_contracts.live import Request, Subscribe
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.log_following import AttemptLog
from signalbox_gateway.read_model import queries

log = logging.getLogger(__name__)
MAX_LOGS: Final = 10
"""Logs that one connection follows at once."""
MAX_TEXT: Final = 65_536
"""Bytes of a log in one frame."""
Send = Callable[[str], Awaitable[None]]


class LogTopics:
    """The logs one client follows. `may` says whether it may read a task; it is asked again while a log is followed."""

    def __init__(
        self, deps: Dependencies, actor: str, send: Send, may: Callable[[UUID], Awaitable[bool]]
    ) -> None:  # fmt: skip
        self._deps, self._actor, self._send, self._may = deps, actor, send, may
        self._following: dict[str, asyncio.Task[None]] = {}

    async def take(self, text: str) -> bool:
        """Handle a client's message if it is about a log; False when it is for the notifier."""
        if '"task"' not in text and not self._following:
            return False
        try:
            request = Request.model_validate_json(text)
        except ValidationError:
            return False  # the notifier refuses it, with the reason
        if request.unsubscribe is not None and request.unsubscribe in self._following:
            await cancel(self._following.pop(request.unsubscribe))
            await self._answer("unsubscribed", {"id": request.unsubscribe})
            return True
        if request.subscribe is None or request.subscribe.task is None:
            return False
        await self._subscribe(request.subscribe)
        return True

    async def stop(self) -> None:
        await cancel(*self._following.values())

    async def _subscribe(self, wanted: Subscribe) -> None:
        task_id, id = wanted.task, wanted.id
        assert task_id is not None
        if id in self._following:
            await cancel(self._following.pop(id))
        self._following = {name: task for name, task in self._following.items() if not task.done()}
        if len(self._following) >= MAX_LOGS:
            await self._refuse(id, "conflict", f"one connection follows at most {MAX_LOGS} logs")
            return
        if self._deps.blobs is None:
            await self._refuse(id, "not-configured", "the gateway has no blob store: SIGNALBOX_BLOB_URL is empty")
            return
        async with self._deps.database.connection() as connection:
            task = await queries.task(connection, task_id)
        if task is None:
            await self._refuse(id, "not-found", f"there is no task {task_id}")
        elif not await self._may(task_id):
            await self._refuse(id, "forbidden", f"task {task_id} is not yours to see")
        else:
            attempt = wanted.attempt or int(task["attempt"])
            self._following[id] = asyncio.create_task(self._follow(wanted, task, attempt), name=f"live log {task_id}")

    async def _follow(self, wanted: Subscribe, task: queries.Answer, attempt: int) -> None:
        """Send what is stored after an offset, then what comes, until the log ends or the caller may not read it."""
        assert self._deps.blobs is not None
        assert wanted.task is not None
        task_id = wanted.task
        source = AttemptLog(self._deps.database, self._deps.blobs, task_id, attempt, self._actor)
        try:
            since = wanted.after or 0
            _, newest = await source.tail(0)
            await self._answer("subscribed", {"id": wanted.id, "sequence": since, "newest": max(since, newest)})
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            about = {"id": wanted.id, "task_id": task_id, "attempt": attempt}
            ended = False
            async for piece, offset, ended in source.followed(task, since, lambda: self._may(task_id)):
                for start in range(0, len(piece) or int(ended), MAX_TEXT):
                    part = piece[start : start + MAX_TEXT]
                    is_last = start + MAX_TEXT >= len(piece)
                    end = offset if is_last else offset - len(piece) + start + len(part)
                    shown = decoder.decode(part, final=ended and is_last)
                    await self._answer("log", {**about, "text": shown, "offset": end, "ended": ended and is_last})
            if not ended:
                seen = "is followed for an hour at most" if await self._may(task_id) else "is no longer yours to see"
                await self._refuse(wanted.id, "unavailable", f"the log {seen}")
        except BlobStoreFailed as failed:
            await self._refuse(wanted.id, "unavailable", f"the blob store does not answer: {failed}"[:500])
        except Exception as error:  # the client is gone, or the database is away
            log.info("a followed log ended: %r", error)
            with suppress(Exception):
                await self._refuse(wanted.id, "unavailable", "the log cannot be read now: subscribe again")

    async def _refuse(self, id: str, problem: str, detail: str) -> None:
        await self._answer("refused", {"id": id, "type": f"/problems/{problem}", "detail": detail})

    async def _answer(self, name: str, value: dict[str, Any]) -> None:
        await self._send(to_json({name: value}).decode())
