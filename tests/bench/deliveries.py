"""Messages to one webhook, alone and beside receivers that hang, are slow and never end their answer.

`python -m bench.deliveries [messages]`. Late is the time from just before a plan's fact is written to Kafka until the
good receiver has the message, on one machine's clock.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID, uuid4

from aiohttp import web

from bench.api import percentile
from signalbox_chassis.messaging.topics import create_topics
from signalbox_local.kafka import KafkaCluster
from signalbox_local.postgres import PostgresServer
from support.notifier import TOPICS, Notifiers, make_notifiers, plan_state, receiver, subscription, webhook
from support.service_fixture import until

EVERY_SECONDS: Final = 0.05
SLOW_SECONDS: Final = 5.0


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(SLOW_SECONDS)
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    with suppress(ConnectionResetError):
        while True:
            await answer.write(b"x" * 1024)
            await asyncio.sleep(0.1)
    return answer


BAD: Final = {"hangs": hang, "slow": slow, "endless": endless}


async def lateness(notifiers: Notifiers, count: int, *, bad: Mapping[str, Any]) -> list[float]:
    """Seconds until the good receiver has each message, while the bad ones get the same."""
    came: dict[UUID, float] = {}

    async def good(request: web.Request) -> web.Response:
        came[UUID(json.loads(await request.read())["data"]["plan_id"])] = time.time()
        return web.Response()

    def came_so_far(least: int) -> Callable[[], Awaitable[bool]]:
        async def enough() -> bool:
            return len(came) >= least

        return enough

    async with AsyncExitStack() as stack:
        for id, answer in {"good": good, **bad}.items():
            server = await stack.enter_async_context(receiver(answer))
            await notifiers.define(webhook(id, server.url), subscription(f"s-{id}", id, "workflow.started"))
        await stack.enter_async_context(notifiers.notifying())
        warm, plans = uuid4(), [uuid4() for _ in range(count)]
        sent: dict[UUID, float] = {}
        for plan in (warm, *plans):
            sent[plan] = time.time()
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", plan=plan))
            await asyncio.sleep(EVERY_SECONDS)
            if plan == warm:
                await until(came_so_far(1), seconds=60, why="the first message came")
        await until(came_so_far(count + 1), seconds=60, why="every message came")
        return [came[plan] - sent[plan] for plan in plans if plan in came]


async def measure(count: int) -> dict[str, Any]:
    """The good receiver alone, and beside the bad ones."""
    found: dict[str, Any] = {}
    with (
        TemporaryDirectory() as folder,
        PostgresServer(Path(folder, "postgres")) as postgres,
        KafkaCluster(Path(folder, "kafka")) as kafka,
    ):
        for name, bad in (("alone", {}), ("beside bad receivers", BAD)):
            place = Path(folder, name)
            place.mkdir()
            notifiers = await make_notifiers(postgres.url, kafka.bootstrap, place)
            await create_topics(kafka.bootstrap, TOPICS, prefix=notifiers.prefix)
            late = await lateness(notifiers, count, bad=bad)
            found[name] = {
                "messages": count, "came": len(late),
                **{f"p{part} ms": round(percentile(late, part / 100) * 1000, 1) for part in (50, 99)},
            }  # fmt: skip
    return found


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(json.dumps({"deliveries": asyncio.run(measure(wanted))}, indent=2))
