"""Schedulers as processes on real Kafka and PostgreSQL, in full size and for full minutes."""

import asyncio
import random
import signal
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from support.deadlines import wait_until
from support.scheduler import Schedulers, schedule, schedulers_on


@pytest_asyncio.fixture
async def schedulers(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Schedulers]:
    async with schedulers_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        yield made


async def known(schedulers: Schedulers, count: int) -> None:
    async def there() -> bool:
        return await schedulers.value("SELECT count(*) FROM schedule WHERE next_fire_at > now()") == count

    await wait_until(there, seconds=150, why=f"{count} schedules are known and wait")


@pytest.mark.timeout(900)
async def test_a_thousand_schedules_tick_every_second_of_two_minutes_once_whatever_is_killed_or_frozen(
    schedulers: Schedulers, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three schedulers, one of them with a clock that is an hour ahead; each second is one tick with one plan id."""
    wrong_clock = hour_ahead()
    rules = [schedule(f"s{n:04}", "* * * * * *", missed={"policy": "all", "max": 1000}) for n in range(1000)]
    await schedulers.define(*rules)
    processes = {0: schedulers.spawn_scheduler(wrong_clock), 1: schedulers.spawn_scheduler()}
    processes[2] = schedulers.spawn_scheduler()
    source = random.Random(14)
    began_at = await schedulers.value("SELECT now()")

    async def decided(seconds: int) -> bool:
        """Whether each schedule has decided so many seconds since the beginning."""
        least = await schedulers.value("SELECT min(cursor_at) FROM schedule HAVING count(*) = 1000")
        return least is not None and least >= began_at + timedelta(seconds=seconds)

    kills = freezes = 0
    for second in range(4, 120, 4):
        await wait_until(partial(decided, second), seconds=240, why=f"{second} seconds", poll_seconds=0.2)
        victim = source.randrange(3)
        if source.random() < 0.5:
            processes[victim].kill()
            processes[victim] = schedulers.spawn_scheduler(wrong_clock if victim == 0 else None)
            kills += 1
        else:
            processes[victim].send_signal(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(3, processes[victim].send_signal, signal.SIGCONT)
            freezes += 1
    await wait_until(partial(decided, 120), seconds=240, why="two minutes", poll_seconds=0.2)
    schedulers.stop_processes()
    async with schedulers.scheduling():  # what the killed ones had not sent goes out

        async def sent() -> bool:
            return not await schedulers.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")

        await wait_until(sent, seconds=120, why="everything sent")
    plans: dict[str, dict[datetime, uuid.UUID]] = defaultdict(dict)
    for event in await schedulers.ticked():
        before = plans[event.data.schedule_id].setdefault(event.data.due_at, event.data.plan_id)
        assert before == event.data.plan_id, "an instant has one plan, no matter who publishes it and how often"
    for ticks in plans.values():
        assert len(set(ticks.values())) == len(ticks)
        assert {after - before for before, after in pairwise(sorted(ticks))} == {timedelta(seconds=1)}
        assert len(ticks) >= 118
        assert max(ticks) <= await schedulers.value("SELECT now()"), "no tick comes before its time"
    assert len(plans) == 1000
    with capsys.disabled():
        count = sum(map(len, plans.values()))
        print(
            f"\n{count:,} ticks of 1,000 schedules, {kills} kills, {freezes} freezes, clock ahead: {bool(wrong_clock)}"
        )


def hour_ahead() -> dict[str, str]:
    """Variables that set a process's clock an hour ahead, where libfaketime is installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        return {}
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.timeout(600)
async def test_ten_thousand_schedules_due_at_one_instant_are_stored_each_once(
    schedulers: Schedulers, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        schedulers.spawn_scheduler()
    due = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=3)
    rule = f"{due.minute} {due.hour} * * *"
    await schedulers.define(*(schedule(f"s{n:05}", rule) for n in range(10_000)))
    await known(schedulers, 10_000)
    assert datetime.now(UTC) < due, "the schedules were not known in time"
    seen_after: list[float] = []

    async with schedulers.connection() as connection:

        async def stored() -> bool:
            count = await connection.fetchval("SELECT count(*) FROM tick")
            seen_after.append((datetime.now(UTC) - due).total_seconds())
            return count == 10_000

        await wait_until(stored, seconds=180, why="10,000 ticks", poll_seconds=0.02)
    latest = await schedulers.value("SELECT extract(epoch FROM max(noticed_at) - min(due_at))::float8 FROM tick")
    with capsys.disabled():
        print(f"\n10,000 due at one instant: stored after {seen_after[-1]:.2f} s, the last begun after {latest:.2f} s")
    assert await schedulers.value("SELECT count(DISTINCT schedule_id) FROM tick WHERE outcome = 'FIRED'") == 10_000
