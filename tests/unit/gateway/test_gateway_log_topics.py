"""A followed log over a WebSocket ends with a frame, however it ends: clients would wait for ever."""

import asyncio
import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from signalbox_contracts.live import Subscribe
from signalbox_gateway.live import log_topics
from signalbox_gateway.live.log_topics import LogTopics

TASK = uuid4()


class FakeLog:
    """One line, and then what the class says."""

    breaks = False

    def __init__(self, *_: Any) -> None: ...

    async def tail(self, _: int) -> tuple[bytes, int]:
        return b"", 0

    async def followed(self, *_: Any) -> AsyncGenerator[tuple[bytes, int, bool]]:
        yield b"one\n", 4, False
        if self.breaks:
            raise ConnectionError("the database is away")


@pytest.mark.parametrize(
    ("breaks", "may", "detail"),
    [
        (True, True, "the log cannot be read now: subscribe again"),
        (False, True, "the log is followed for an hour at most"),
        (False, False, "the log is no longer yours to see"),
    ],
)
async def test_a_log_that_is_followed_no_longer_says_so(
    monkeypatch: pytest.MonkeyPatch, breaks: bool, may: bool, detail: str
) -> None:
    sent: list[dict[str, Any]] = []

    async def send(text: str) -> None:
        sent.append(json.loads(text))

    async def may_see(_: UUID) -> bool:
        return may

    monkeypatch.setattr(log_topics, "AttemptLog", FakeLog)
    monkeypatch.setattr(FakeLog, "breaks", breaks)
    dependencies = cast("Any", SimpleNamespace(blobs=object(), database=None))
    topics = LogTopics(dependencies, "user:ann", send, may_see)
    wanted = Subscribe(id="l1", task=TASK)
    await asyncio.wait_for(topics._follow(wanted, cast("Any", {}), 1), 5)  # pyright: ignore[reportPrivateUsage]
    assert [next(iter(frame)) for frame in sent] == ["subscribed", "log", "refused"]
    assert sent[-1]["refused"] == {"id": "l1", "type": "/problems/unavailable", "detail": detail}
