"""The executor, to which no definition written after its start comes before the file `DOOR` is there."""

import asyncio
import os
from pathlib import Path
from typing import Any

from signalbox_chassis.messaging.definitions_feed import DefinitionsFeed
from signalbox_executor.app import executor
from signalbox_executor.settings import ExecutorSettings

DOOR = Path(os.environ["DOOR"])
_poll = DefinitionsFeed._poll  # pyright: ignore[reportPrivateUsage]


async def poll_behind_the_door(self: DefinitionsFeed, consumer: Any, timeout_ms: int) -> None:
    following = self._task is not None  # pyright: ignore[reportPrivateUsage]
    while following and not DOOR.exists():  # noqa: ASYNC110 -- another process opens it
        await asyncio.sleep(0.05)
    await _poll(self, consumer, timeout_ms)


DefinitionsFeed._poll = poll_behind_the_door  # pyright: ignore[reportPrivateUsage]
executor(ExecutorSettings.load()).run()
