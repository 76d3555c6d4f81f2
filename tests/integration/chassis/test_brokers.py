"""Several brokers: the setting names them all, and one that does not answer keeps nobody from the others."""

import asyncio
from typing import Any

from signalbox_chassis.messaging.connection import consumer
from support.service_fixture import Stand, commands


async def test_a_service_reaches_kafka_by_the_second_broker_when_the_first_does_not_answer(stand: Stand) -> None:
    await stand.publish(commands(1, 3))
    stand.bootstrap = f"127.0.0.1:1,{stand.bootstrap}"
    async with stand.running():
        await stand.until_entries(3)
        await stand.until_sent()


async def test_a_consumer_ends_although_one_of_its_fetches_waits_to_try_again(stand: Stand) -> None:
    """Without it `stop` raises the CancelledError of that fetch."""
    reader: Any = consumer(stand.bootstrap)
    await reader.start()
    waiting = asyncio.create_task(asyncio.sleep(3600))
    reader._fetcher._fetch_task.cancel()  # or it would end the fetch itself
    reader._fetcher._pending_tasks.add(waiting)
    await reader.stop()
    assert waiting.cancelled()
    assert reader._closed
