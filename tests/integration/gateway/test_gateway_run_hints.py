"""An engine reports that runs changed: each is sent to the executor once, and nobody else can report."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from signalbox_chassis.security.run_hints import hint_keys, hint_url
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.operations import RunsObserve
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from signalbox_gateway.run_hints import MAX_A_MINUTE, MAX_WAITING, RunHints
from support.deadlines import wait_until
from support.gateway import running_gateway

SECRET = base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def path_of(engine: str, run: str) -> str:
    return hint_url(hint_keys(SECRET), "", engine, run).removeprefix("/api/v1")


async def test_hints_are_gathered_and_each_run_is_sent_once(postgres_url: str, kafka_bootstrap: str) -> None:
    runs = [run_key(uuid4(), 1) for _ in range(3)]
    async with running_gateway(postgres_url, kafka_bootstrap, secret_key=SecretStr(SECRET)) as api:

        async def sent() -> list[str]:
            async with api.connection() as connection:
                rows = await connection.fetch("SELECT value FROM outbox WHERE topic = 'operations.v1'")
            events: list[Any] = [decode(topic("operations.v1"), row["value"]) for row in rows]
            return [key for event in events if isinstance(event, RunsObserve) for key in event.data.run_keys]

        for run in (*runs, runs[0]):
            answer = await api.request("GET", f"{path_of('oozie-prod', run)}?status=SUCCEEDED", token="")
            assert answer.status == 200, answer.text

        async def all_sent() -> bool:
            return set(await sent()) == set(runs)

        await wait_until(all_sent, why="every run is in a message")
        for wrong in (path_of("oozie-prod", runs[0])[:-1], path_of("other", runs[0]).replace("other", "oozie-prod")):
            assert (await api.request("GET", wrong, token="")).status == 404
        assert (await api.request("POST", path_of("oozie-prod", runs[0]), token="")).status == 405


def test_a_run_is_reported_so_often_a_minute_and_so_many_runs_wait() -> None:
    database: Any = None
    hints = RunHints(database)
    taken = [hints.take("e", "one", NOW) for _ in range(MAX_A_MINUTE + 2)]
    assert taken == [True] * MAX_A_MINUTE + [False, False]
    assert hints.take("e", "one", NOW + timedelta(minutes=1))
    for number in range(MAX_WAITING + 5):
        hints.take("e", str(number), NOW)
    assert sum(map(len, hints._waiting.values())) == MAX_WAITING  # pyright: ignore[reportPrivateUsage]
