"""A service that tells Kafka it is done with a batch before it has handled it: what a kill interrupts is lost.

The crash point `control.committed` is passed with batches of requests, commands and ends of tasks: the definitions of a
start are stated again, and nobody would miss them.
"""

import runpy
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from signalbox_chassis.messaging import bus
from signalbox_chassis.runtime import crash_points

MISSED = (".requests.v1", ".task-commands.v1", ".tasks.v1")

_poll_batches = bus._poll_batches  # pyright: ignore[reportPrivateUsage]


def poll_and_commit(max_records: int, busy_wait_seconds: float) -> Callable[[Any], Awaitable[Any]]:
    poll = _poll_batches(max_records, busy_wait_seconds)

    async def get_msg(consumer: Any) -> Any:
        records = await poll(consumer)
        if records:
            await consumer.commit()
            if any(record.topic.endswith(MISSED) for record in records):
                crash_points.point("control.committed")
        return records

    return get_msg


bus._poll_batches = poll_and_commit  # pyright: ignore[reportPrivateUsage]
runpy.run_module(sys.argv[1], run_name="__main__")
