"""The log of one attempt for one caller: what is stored, and what comes until it ends. Out: logs.follow."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from uuid import UUID

from signalbox_chassis.blobs import Blobs
from signalbox_contracts.states import TASK_ENDS
from signalbox_gateway import attempt_logs
from signalbox_gateway.followed_logs import FOLLOW_SECONDS, follow
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.read_model import queries

_ENDS: Final = frozenset(state.value for state in TASK_ENDS)
MAX_FOLLOW_SECONDS: Final = 3600.0
TOKEN_SECONDS: Final = 5.0
"""How often the token of a stream is checked."""
LAST_WORDS_SECONDS: Final = 20.0
"""How long a log may end after its attempt."""
_ASK_SECONDS: Final = 1.0
Piece = tuple[bytes, int, bool]
"""Bytes, the offset after them, and whether the log ends there."""


class AttemptLog:
    """The log of one attempt, for one caller."""

    def __init__(self, deps: Dependencies, blobs: Blobs, task: UUID, attempt: int, actor: str) -> None:
        self._deps, self._blobs, self._task, self._attempt, self._actor = deps, blobs, task, attempt, actor
        self._over_at: float | None = None

    async def stored(self, tail: int | None, since: int) -> tuple[bytes, int]:
        """What is stored now, and the offset after it."""
        pieces, _ = await attempt_logs.chunks(self._blobs, self._task, self._attempt)
        if tail is not None:
            return await attempt_logs.tail(self._blobs, pieces, tail)
        pieces_read, at = [b""], since
        async for text, end in attempt_logs.read(self._blobs, pieces, since=since):
            pieces_read.append(text)
            at = end
        return b"".join(pieces_read), at

    async def followed(
        self, task: queries.Answer, text: bytes, at: int, may: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[Piece]:
        """What is stored, then what comes (perhaps nothing), until the log has ended or an hour is over.

        It ends as well when the caller's token does.
        """
        yield text, at, False
        give_up_at, sent_at, looked_at, checked_at = (
            time.monotonic() + MAX_FOLLOW_SECONDS,
            0.0,
            0.0,
            time.monotonic(),
        )
        while time.monotonic() < give_up_at:
            now = time.monotonic()
            if now - checked_at > TOKEN_SECONDS:
                if not await may():
                    return
                checked_at = now
            if now - sent_at > FOLLOW_SECONDS * 0.8 and not self._is_past(task):
                await follow(self._deps.database, task, self._attempt, self._actor)
                sent_at = now
            if now - looked_at > _ASK_SECONDS:
                task = await self._task_now() or task
                looked_at = now
                if self._over_at is None and self._is_past(task):
                    self._over_at = now
            over = self._over_at is not None and now - self._over_at > LAST_WORDS_SECONDS
            new, at, ended = await attempt_logs.more(self._blobs, self._task, self._attempt, since=at)
            yield new, at, ended or over
            if ended or over:
                return
            await attempt_logs.rest()

    async def _task_now(self) -> queries.Answer | None:
        async with self._deps.database.connection() as connection:
            return await queries.task(connection, self._task)

    def _is_past(self, task: queries.Answer) -> bool:
        return task["state"] in _ENDS or int(task["attempt"]) > self._attempt
