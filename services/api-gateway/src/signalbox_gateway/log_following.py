"""The log of one attempt for one caller: what is stored, and what comes until it ends. Out: logs.follow.

While a log is followed, the executor stores it every 2 s.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.persistence.database import Database
from signalbox_contracts.messages.operations import LogsFollow, LogsFollowData
from signalbox_contracts.states import TASK_ENDS
from signalbox_gateway import attempt_logs
from signalbox_gateway.read_model import queries

_ENDS: Final = frozenset(state.value for state in TASK_ENDS)
FOLLOW_SECONDS: Final = 60.0
"""For how long one request asks."""
MAX_FOLLOW_SECONDS: Final = 3600.0
TOKEN_SECONDS: Final = 5.0
"""How often the token of a stream is checked."""
LAST_WORDS_SECONDS: Final = 20.0
"""How long a log may end after its attempt."""
_ASK_SECONDS: Final = 1.0
Piece = tuple[bytes, int, bool]
"""Bytes, the offset after them, and whether the log ends there."""


async def follow(database: Database, task: dict[str, Any], attempt: int, actor: str) -> None:
    """Ask for the log of this attempt of a task, as the API shows tasks."""
    data = LogsFollowData(
        operation_id=uuid4(), actor=actor, plan_id=UUID(task["plan_id"]), task_id=UUID(task["id"]), attempt=attempt,
        for_seconds=FOLLOW_SECONDS,
    )  # fmt: skip
    event = LogsFollow.of(
        data, subject=f"task:{data.task_id}", source="signalbox/api-gateway", time=datetime.now(UTC),
        id=data.operation_id,
    )  # fmt: skip
    async with database.unit_of_work() as work:
        work.publish(event)


class AttemptLog:
    """The log of one attempt, for one caller."""

    def __init__(self, database: Database, blobs: Blobs, task: UUID, attempt: int, actor: str) -> None:
        self._database, self._blobs, self._task, self._attempt, self._actor = database, blobs, task, attempt, actor
        self._over_at: float | None = None

    async def stored(self, since: int) -> AsyncIterator[Piece]:
        """What is stored now, from an offset on, a chunk at a time."""
        pieces, _ = await attempt_logs.chunks(self._blobs, self._task, self._attempt)
        async for text, end in attempt_logs.read(self._blobs, pieces, since=since):
            yield text, end, False

    async def tail(self, lines: int) -> tuple[bytes, int]:
        """The last lines that are stored now, and the offset after them."""
        pieces, _ = await attempt_logs.chunks(self._blobs, self._task, self._attempt)
        return await attempt_logs.tail(self._blobs, pieces, lines)

    async def followed(
        self, task: queries.Answer, since: int, may: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[Piece]:
        """What is stored after an offset, then what comes, until the log has ended or an hour is over.

        It ends as well when the caller's token does.
        """
        began = checked_at = time.monotonic()
        async for piece in self.stored(since):
            if (now := time.monotonic()) - checked_at > TOKEN_SECONDS:
                if not await may():
                    return
                checked_at = now
            yield piece
            since = piece[1]
        sent_at = looked_at = 0.0
        while time.monotonic() < began + MAX_FOLLOW_SECONDS:
            now = time.monotonic()
            if now - checked_at > TOKEN_SECONDS:
                if not await may():
                    return
                checked_at = now
            if now - sent_at > FOLLOW_SECONDS * 0.8 and not self._is_past(task):
                await follow(self._database, task, self._attempt, self._actor)
                sent_at = now
            if now - looked_at > _ASK_SECONDS:
                task = await self._task_now() or task
                looked_at = now
                if self._over_at is None and self._is_past(task):
                    self._over_at = now
            over = self._over_at is not None and now - self._over_at > LAST_WORDS_SECONDS
            pieces, ended = await attempt_logs.chunks(self._blobs, self._task, self._attempt)
            new = [piece for piece in pieces if piece.offset >= since]
            async for text, end in attempt_logs.read(self._blobs, new, since=since):
                yield text, end, False
                since = end
            yield b"", since, ended or over
            if ended or over:
                return
            await attempt_logs.rest()

    async def _task_now(self) -> queries.Answer | None:
        async with self._database.connection() as connection:
            return await queries.task(connection, self._task)

    def _is_past(self, task: queries.Answer) -> bool:
        return task["state"] in _ENDS or int(task["attempt"]) > self._attempt


class FollowedLogs:
    """Which logs this gateway has requested lately: repeated reads within that time send no further request."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}

    async def keep(self, database: Database, task: dict[str, Any], actor: str) -> None:
        """Ask for the log of the present attempt, unless that was just done."""
        now, key = time.monotonic(), (task["id"], task["attempt"])
        if self._until.get(key, 0.0) > now:
            return
        self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[key] = now + FOLLOW_SECONDS * 0.8
        await follow(database, task, task["attempt"], actor)
