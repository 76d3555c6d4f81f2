"""Clocks that are wrong change nothing: what two processes compare is the database's time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.definitions.work import ScriptedWork
from support.executor import Stand, ensure, rules_of, spec
from support.proofs import proves
from support.service_fixture import until


@pytest.mark.parametrize("hours", [1, -1])
@proves("F19")
async def test_executors_whose_clock_is_an_hour_off_work_like_any(
    executors: Stand, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """If it were asked, leases, delays of retries, start rates and time limits would end at once, or never.

    The engine and the database are other processes, whose clocks are right.
    """
    right = time.time

    class Wrong:
        def now(self) -> datetime:
            return datetime.fromtimestamp(right(), UTC) + timedelta(hours=hours)

    monkeypatch.setattr("signalbox_executor.app.SystemClock", Wrong)
    monkeypatch.setattr(time, "time", lambda: right() + 3600 * hours)
    plan, count = uuid4(), 5
    patient: dict[str, Any] = {
        "retries": Retries(max_attempts=2, delay_seconds=0.2, max_delay_seconds=0.2),
        "time_limits": {"queued_seconds": 120, "running_seconds": 120},
    }
    tasks = [spec(plan, number, work=ScriptedWork(script={"exit_code": 3}), **patient) for number in range(count)]
    await executors.register(starts_per_minute=600, starts_at_once=2)
    async with executors.running(worker_lease_seconds=20.0), executors.running(worker_lease_seconds=20.0):
        await executors.send(rules_of(plan, Rules()), ensure(plan, tasks))

        async def failed() -> bool:
            return (await executors.states()).get("FAILED") == count

        await until(failed, seconds=60, why="both attempts of each task failed")
        assert await executors.value("SELECT count(*) FROM worker WHERE NOT dead AND lease_until > now()") == 2
    assert sorted((await executors.starts()).values()) == [1] * count * 2
    assert await executors.value("SELECT count(*) FROM task WHERE cause = 'failed' AND attempt = 2") == count
    off = await executors.value("SELECT max(abs(extract(epoch FROM ended_at - now()))) FROM task")
    assert off < 300, "rows are stamped by the database"
