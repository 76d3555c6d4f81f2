"""A day without a scheduler over both clock changes: each policy fires its documented set, as it was previewed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from signalbox_contracts.messages.ticks import TickCause
from signalbox_gateway.routes.schedules import ticks_of
from signalbox_scheduler.loops import TRANSACTION_TICKS
from support.scheduler import Schedulers, schedule, simulate_clock
from support.service_fixture import until

RULES = {"hourly": "0 * * * *", "daily": "30 2 * * *"}
POLICIES: dict[str, Any] = {
    "none": {"policy": "none"}, "latest": {"policy": "latest"}, "newest": {"policy": "all", "max": 3},
    "all": {"policy": "all", "max": 100},
}  # fmt: skip


@pytest.mark.parametrize(
    ("evening", "daily"),
    [
        # 02:30 does not exist: it fires at the first minute after the gap
        (datetime(2026, 3, 28, 20, 30, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        # 02:30 comes twice: it fires at the first of them
        (datetime(2026, 10, 24, 20, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
async def test_26_hours_of_outage_over_a_clock_change_give_each_policy_its_documented_set(
    schedulers: Schedulers, postgres_url: str, monkeypatch: pytest.MonkeyPatch, evening: datetime, daily: datetime
) -> None:
    clock = await simulate_clock(schedulers, postgres_url, monkeypatch)
    await clock.set(evening)
    rules = [
        schedule(f"{rule}_{policy}", RULES[rule], zone="Europe/Prague", missed=missed)
        for rule in RULES
        for policy, missed in POLICIES.items()
    ]
    await schedulers.define(*rules, at=evening)
    async with schedulers.scheduling(tick_keep_days=3660):

        async def waiting() -> bool:
            return await schedulers.value("SELECT count(*) FROM schedule WHERE next_due_at > simulated_now()") == 8

        await until(waiting, seconds=60, why="eight schedules wait for their next tick")
    morning = evening + timedelta(hours=26)
    previews = {one.id: [due for due in islice(ticks_of(one, evening), 30) if due <= morning] for one in rules}
    await clock.set(morning)
    async with schedulers.scheduling(tick_keep_days=3660):

        async def decided() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick") == 4 * (26 + 1)

        await until(decided, seconds=60, why="every tick of 26 hours is decided")
    rows = await schedulers.rows("SELECT schedule_id, due_at, outcome, cause FROM tick ORDER BY due_at")
    hours = [evening.replace(minute=0) + timedelta(hours=n) for n in range(1, 27)]
    fires = {
        "hourly_none": [], "hourly_latest": hours[-1:], "hourly_newest": hours[-3:], "hourly_all": hours,
        "daily_none": [], "daily_latest": [daily], "daily_newest": [daily], "daily_all": [daily],
    }  # fmt: skip
    for one in rules:
        mine = [row for row in rows if row["schedule_id"] == one.id]
        assert [row["due_at"] for row in mine] == previews[one.id], "what was previewed is what was decided"
        fired = [row for row in mine if row["outcome"] == "FIRED"]
        assert ([row["due_at"] for row in fired], {row["cause"] for row in fired}) == (
            fires[one.id], {TickCause.CATCH_UP.value} if fired else set()
        ), one.id  # fmt: skip
        reason = "missed" if one.missed.policy == "none" else "too_many"
        skipped = Counter(row["cause"] for row in mine if row["outcome"] == "SKIPPED")
        assert set(skipped) <= {reason}


async def test_a_backlog_of_many_schedules_is_worked_off_in_transactions_of_bounded_size(
    schedulers: Schedulers,
) -> None:
    """Without the bound one transaction takes all that is due of 500 schedules, outgrows its time and never ends."""
    count, seconds = 12, 300
    rules = [schedule(f"s{n}", "* * * * * *", missed={"policy": "all", "max": 1000}) for n in range(count)]
    await schedulers.define(*rules, at=datetime.now(UTC) - timedelta(seconds=seconds))
    async with schedulers.scheduling():

        async def caught_up() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick") >= count * seconds

        await until(caught_up, seconds=60, why="five minutes of seconds")
    sizes = await schedulers.rows("SELECT count(*) AS n FROM tick GROUP BY noticed_at")  # the transaction's beginning
    assert max(row["n"] for row in sizes) <= TRANSACTION_TICKS + seconds + 60
