"""A service that tells Kafka it is done with a batch before it has handled it: what a kill interrupts is lost."""

import runpy
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from signalbox_chassis.messaging import bus

_patient_poll = bus._patient_poll  # pyright: ignore[reportPrivateUsage]


def poll_and_commit(max_records: int, busy_wait_seconds: float) -> Callable[[Any], Awaitable[Any]]:
    poll = _patient_poll(max_records, busy_wait_seconds)

    async def get_msg(consumer: Any) -> Any:
        records = await poll(consumer)
        if records:
            await consumer.commit()
        return records

    return get_msg


bus._patient_poll = poll_and_commit  # pyright: ignore[reportPrivateUsage]
runpy.run_module(sys.argv[1], run_name="__main__")
