"""The executor, to which every definition written after its start comes 5 seconds late."""

import asyncio
import os
from typing import Any

from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.messaging.definitions_feed import DefinitionsFeed
from signalbox_executor.app import executor
from signalbox_executor.settings import ExecutorSettings

LATE_SECONDS = float(os.environ["LATE_SECONDS"])
_poll = DefinitionsFeed._poll  # pyright: ignore[reportPrivateUsage]


class Late:
    """A consumer whose records arrive late."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def getmany(self, **limits: Any) -> Any:
        batches: Any = await self._consumer.getmany(**limits)
        if batches:
            await asyncio.sleep(LATE_SECONDS)
        return batches


async def poll_late(self: DefinitionsFeed, consumer: Any, timeout_ms: int) -> None:
    following = self._task is not None  # pyright: ignore[reportPrivateUsage]
    await _poll(self, Late(consumer) if following else consumer, timeout_ms)  # pyright: ignore[reportArgumentType]


DefinitionsFeed._poll = poll_late  # pyright: ignore[reportPrivateUsage]
executor(ExecutorSettings.load()).run()
