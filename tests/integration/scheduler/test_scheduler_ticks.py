"""Schedulers on real Kafka and PostgreSQL: each tick exactly once, whatever dies."""

import signal
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.messages.operations import ScheduleBackfill
from signalbox_contracts.messages.states import OperationResult, Outcome, ScheduleStated
from signalbox_contracts.messages.ticks import SkipReason, TickCause
from signalbox_scheduler import facts
from signalbox_scheduler.store import schedules, ticks
from support.executor import operation
from support.proofs import proves
from support.scheduler import Schedulers, schedule
from support.service_fixture import until


def half_an_hour_ago() -> datetime:
    """A last tick from which neither an hourly nor a daily rule has its next one while a test runs."""
    return (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)


@proves("scheduler.store.ticks: tick.once", "F40")
async def test_three_schedulers_killed_and_frozen_in_turn_tick_every_second_exactly_once(
    schedulers: Schedulers,
) -> None:
    """INVARIANT tick.once: without the unique row two schedulers would start a plan each for the same instant."""
    every_second = [
        schedule(f"s{number:03}", "* * * * * *", missed={"policy": "all", "max": 1000}) for number in range(60)
    ]
    await schedulers.define(*every_second)
    processes = [schedulers.spawn_scheduler() for _ in range(3)]

    async def each_has(count: int) -> None:
        async def there() -> bool:
            least = await schedulers.value(
                "SELECT coalesce(min(n), 0) FROM (SELECT count(t.id) AS n FROM schedule s"
                " LEFT JOIN tick t ON t.schedule_id = s.id GROUP BY s.id) AS counted"
            )
            known = await schedulers.value("SELECT count(*) FROM schedule")
            return known == len(every_second) and least >= count

        await until(there, seconds=90, why=f"{count} ticks each")

    await each_has(2)
    processes[0].kill()
    processes[1].send_signal(signal.SIGSTOP)
    await each_has(6)
    processes[1].send_signal(signal.SIGCONT)
    processes[2].kill()
    schedulers.spawn_scheduler()
    await each_has(9)
    schedulers.stop_processes()
    async with schedulers.scheduling():  # what the killed ones had not sent goes out

        async def sent() -> bool:
            return not await schedulers.value(
                "SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)"
                " OR EXISTS (SELECT FROM tick WHERE unpublished)"
            )

        await until(sent, seconds=60, why="everything sent, stored ticks too")
    by_schedule: dict[str, set[tuple[datetime, uuid.UUID]]] = defaultdict(set)
    for event in await schedulers.ticked():
        by_schedule[event.data.schedule_id].add((event.data.due_at, event.data.plan_id))
    assert len(by_schedule) == len(every_second)
    for found in by_schedule.values():
        instants = sorted(due for due, _ in found)
        assert {after - before for before, after in pairwise(instants)} == {timedelta(seconds=1)}
        assert len({plan for _, plan in found}) == len(found)


@proves("F41")
async def test_a_day_of_outage_over_the_autumn_change_gives_each_policy_its_set_with_reasons(
    schedulers: Schedulers,
) -> None:
    """The instants come from the rule, whenever they are noticed: event dates stay those intended."""
    last = half_an_hour_ago()
    policies: dict[str, Any] = {
        "none": {"policy": "none"}, "latest": {"policy": "latest"}, "all": {"policy": "all", "max": 3},
    }  # fmt: skip
    await schedulers.define(
        *(schedule(name, f"{last:%M %H} * * *", missed=missed) for name, missed in policies.items()),
        at=last - timedelta(days=4, hours=23),
    )
    async with schedulers.scheduling():

        async def decided() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick") == 15

        await until(decided, why="five days of three schedules decided")

        async def sent() -> bool:
            return len(await schedulers.ticked()) == 4 and len(await schedulers.skipped()) == 11

        await until(sent, why="fired and skipped are published")
    fired = {(event.data.schedule_id, event.data.due_at) for event in await schedulers.ticked()}
    assert fired == {("latest", last), *(("all", last - timedelta(days=n)) for n in range(3))}
    assert all(
        event.data.event_date == event.data.due_at.date() - timedelta(days=1) for event in await schedulers.ticked()
    )
    reasons = {(event.data.schedule_id, event.data.why) for event in await schedulers.skipped()}
    assert reasons == {
        ("none", SkipReason.MISSED), ("latest", SkipReason.TOO_MANY), ("all", SkipReason.TOO_MANY),
    }  # fmt: skip


async def test_a_backfill_fires_what_has_not_fired_and_the_same_again_fires_nothing(schedulers: Schedulers) -> None:
    now = half_an_hour_ago()
    hourly = schedule("hourly", f"{now:%M} * * * *", missed={"policy": "latest"})
    await schedulers.define(hourly, at=now - timedelta(hours=3, minutes=30))
    backfill = {
        "schedule_id": "hourly",
        "from_at": now - timedelta(hours=9),
        "until_at": now,
        "definitions_revision": 1,
    }
    first = operation(ScheduleBackfill, "schedule:hourly", **backfill)
    again = operation(ScheduleBackfill, "schedule:hourly", **backfill)
    absent = operation(ScheduleBackfill, "schedule:none", **{**backfill, "schedule_id": "none"})
    async with schedulers.scheduling():

        async def caught_up() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick") == 4

        await until(caught_up, why="the missed hours are decided")
        await schedulers.send(first, again, absent)

        async def answered() -> bool:
            return len(await schedulers.states_published(OperationResult)) == 3

        await until(answered, seconds=60, why="three answers")

        async def published() -> bool:
            return len(await schedulers.ticked()) == 10

        await until(published, why="ten hours, each once")
    answers = {one.data.operation_id: one.data for one in await schedulers.states_published(OperationResult)}
    results = [answers[one.data.operation_id] for one in (first, again)]
    assert sorted(one.reason for one in results) == [
        "0 ticks fired, 10 had fired before", "9 ticks fired, 1 had fired before",
    ]  # fmt: skip
    refused = answers[absent.data.operation_id]
    assert (refused.outcome, refused.reason) == (Outcome.REFUSED, "there is no schedule none")
    ticks = await schedulers.ticked()
    assert {event.data.due_at for event in ticks} == {now - timedelta(hours=n) for n in range(10)}
    assert sorted(event.data.cause for event in ticks).count(TickCause.BACKFILL) == 9
    assert {event.data.schedule.overlap for event in ticks if event.data.cause is TickCause.BACKFILL} == {"queue"}


async def test_a_backfill_that_leaves_the_calendar_fails_and_keeps_no_other_waiting(schedulers: Schedulers) -> None:
    """They are taken in one order: one that fails for ever keeps all others for ever."""
    now = half_an_hour_ago()
    old = schedule("old", "0 0 1 1 *", event_date={"offset_days": -3660})
    await schedulers.define(old, schedule("hourly", f"{now:%M} * * * *", paused=True), at=now)
    first_day = datetime(1, 1, 1, tzinfo=UTC)
    wanted = [
        ("old", first_day, first_day.replace(year=9)),
        ("old", first_day.replace(year=5), first_day.replace(year=9)),
        ("hourly", now - timedelta(hours=3), now - timedelta(hours=1)),
    ]
    sent = [
        operation(
            ScheduleBackfill, f"schedule:{id}", schedule_id=id, from_at=since, until_at=until_at, definitions_revision=1
        )
        for id, since, until_at in wanted
    ]  # fmt: skip
    async with schedulers.scheduling():

        async def known() -> bool:
            return await schedulers.value("SELECT count(*) FROM schedule") == 2

        await until(known, why="the schedules are known")
        await schedulers.send(*sent)

        async def answered() -> bool:
            return len(await schedulers.states_published(OperationResult)) == 3

        await until(answered, seconds=60, why="three answers")
    answers = {one.data.operation_id: one.data for one in await schedulers.states_published(OperationResult)}
    outcomes = [answers[one.data.operation_id].outcome for one in sent]
    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.DONE]


async def test_a_backfill_of_the_newest_first_fires_backwards_and_says_how_many_may_run(schedulers: Schedulers) -> None:
    """More ticks than one transaction fires, so that it goes on where it was."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    await schedulers.define(schedule("minutely", "* * * * *", paused=True), at=now)
    newest = operation(
        ScheduleBackfill, "schedule:minutely", schedule_id="minutely", from_at=now - timedelta(minutes=249),
        until_at=now, definitions_revision=1, order="newest", concurrency=3,
    )  # fmt: skip
    async with schedulers.scheduling():

        async def known() -> bool:
            return await schedulers.value("SELECT count(*) FROM schedule") == 1

        await until(known, why="the schedule is known")
        await schedulers.send(newest)

        async def published() -> bool:
            return len(await schedulers.ticked()) == 250

        await until(published, seconds=60, why="250 ticks")
        answer = (await schedulers.states_published(OperationResult))[0].data
    ticks = await schedulers.ticked()
    assert [event.data.due_at for event in ticks] == [now - timedelta(minutes=n) for n in range(250)]
    assert {event.data.concurrency for event in ticks} == {3}
    assert answer.reason == "250 ticks fired, 0 had fired before"


async def test_a_freeze_of_everything_holds_ticks_and_its_end_applies_the_policy(schedulers: Schedulers) -> None:
    now = datetime.now(UTC)
    freeze = Freeze.model_validate({"id": "release", "name": "release", "reason": "release", "author": "user:ann"})
    await schedulers.define(freeze, at=now - timedelta(hours=3))
    missed = {"policy": "none", "grace_seconds": 0}
    await schedulers.define(schedule("minutely", "* * * * *", missed=missed), at=now - timedelta(minutes=10))
    async with schedulers.scheduling() as service:

        async def known() -> bool:
            return await schedulers.value("SELECT count(*) FROM schedule") == 1

        await until(known, why="the schedule is known")
        fire = next(loop for loop in service.loops if loop.name == "fire")
        assert not await fire.one_pass()
        assert await schedulers.value("SELECT count(*) FROM tick") == 0
        await schedulers.define(freeze, revision=2, deleted=True)

        async def decided() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick WHERE cause = 'frozen'") >= 9

        await until(decided, why="the frozen ticks are skipped with their reason")


async def test_a_freeze_that_returns_every_minute_holds_ticks_however_long_it_is_there(schedulers: Schedulers) -> None:
    """Each pass computed its windows of 30 days, a second of work, and only the oldest 10,000 of them."""
    now = datetime.now(UTC)
    every_minute = [{"cron": "* * * * *", "duration_seconds": 60}]
    freeze = Freeze.model_validate(
        {"id": "minutely", "name": "minutely", "reason": "load", "author": "user:ann", "calendar": every_minute}
    )
    await schedulers.define(freeze, at=now - timedelta(days=29))
    await schedulers.define(schedule("minutely", "* * * * *"), at=now - timedelta(minutes=10))
    async with schedulers.scheduling() as service:

        async def known() -> bool:
            return await schedulers.value("SELECT count(*) FROM schedule") == 1

        await until(known, why="the schedule is known")
        fire = next(loop for loop in service.loops if loop.name == "fire")
        for _ in range(3):  # the loop itself has the row meanwhile
            assert not await fire.one_pass()
        assert await schedulers.value("SELECT count(*) FROM tick") == 0


async def test_a_freeze_that_cannot_be_read_keeps_no_schedule_from_its_ticks(
    schedulers: Schedulers, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it one freeze that today's bounds do not allow stops every tick of every schedule."""
    async with schedulers.connection() as connection:
        freeze = Freeze.model_validate(
            {"id": "readable", "name": "readable", "reason": "release", "author": "user:ann"}
        )
        await connection.execute("INSERT INTO freeze_window VALUES ('unreadable', 1, '{}')")
        await schedules.save_freeze(connection, freeze, 1, lifted=False, at=datetime.now(UTC))
        assert [row.freeze.id for row in await schedules.freezes(connection)] == ["readable"]
    assert "left out of freezes: unreadable: ValidationError" in caplog.text


async def test_what_cannot_be_read_is_replaced_and_deleted_without_its_last_form(schedulers: Schedulers) -> None:
    """Without it a freeze that the gateway cannot read, and deletes, holds the ticks of its projects for ever."""
    freeze = Freeze.model_validate({"id": "lost", "name": "lost", "reason": "release", "author": "user:ann"})
    now, rule = datetime.now(UTC), schedule("lost", "0 0 1 1 *")
    async with schedulers.connection() as connection:
        await schedules.save_freeze(connection, freeze, 1, lifted=False, at=now)
        await schedules.lift_freeze(connection, "lost", 1, at=now)
        assert [row.lifted_at for row in await schedules.freezes(connection)] == [None]
        await schedules.lift_freeze(connection, "lost", 2, at=now)
        assert [row.lifted_at for row in await schedules.freezes(connection)] == [now]

        await schedules.define(connection, [schedules.Defined("lost", 1, rule, False, now)])
        spoil = "UPDATE schedule SET definition = '{}' WHERE id = 'lost'"
        await connection.execute(spoil)
        await schedules.define(connection, [schedules.Defined("lost", 2, rule, False, now)])
        assert await connection.fetchval("SELECT definition FROM schedule") == rule.model_dump_json()
        await connection.execute(spoil)
        await schedules.define(connection, [schedules.Defined("lost", 3, None, True, now)])
        row = await connection.fetchrow("SELECT revision, deleted, next_fire_at, version - published FROM schedule")
        assert row is not None
        assert tuple(row.values()) == (3, True, None, 0)


@pytest.mark.parametrize("last_form", [None, schedule("deleted", "0 0 1 1 *")], ids=["unknown", "known"])
async def test_a_schedule_that_cannot_be_read_stops_alone_until_it_is_replaced_or_deleted(
    schedulers: Schedulers, caplog: pytest.LogCaptureFixture, last_form: Schedule | None
) -> None:
    """With a tick stored, or a change not published, it kept every other schedule from its ticks and states."""
    now, long_ago = datetime.now(UTC), datetime(2026, 1, 1, tzinfo=UTC)
    async with schedulers.connection() as connection:
        for id in ("deleted", "replaced"):
            rule = schedule(id, "0 0 1 1 *")
            await schedules.define(connection, [schedules.Defined(id, 1, rule, False, now)])
            await connection.execute(
                "INSERT INTO tick (id, schedule_id, due_at, event_date, outcome, cause, unpublished)"
                " VALUES ($1, $2, $3, $4, 'FIRED', 'DUE', true)",
                uuid.uuid4(), id, long_ago, long_ago.date(),
            )  # fmt: skip
        await connection.execute("UPDATE schedule SET definition = '{}'")

    async def all_stated() -> bool:
        return not await schedulers.value("SELECT EXISTS (SELECT FROM schedule WHERE published < version)")

    async with schedulers.scheduling():
        await schedulers.define(schedule("healthy", "* * * * * *"))

        async def ticked() -> bool:
            return {event.data.schedule_id for event in await schedulers.ticked()} == {"healthy"}

        await until(ticked, why="another schedule fires")
        await schedulers.define(schedule("healthy", "0 0 1 1 *"), revision=2)
        await until(all_stated, why="the state of the other is published")
        notes = {event.data.schedule_id: event.data.note for event in await schedulers.states_published(ScheduleStated)}
        assert notes == {"healthy": "", "deleted": facts.UNREADABLE, "replaced": facts.UNREADABLE}
        assert await schedulers.value("SELECT count(*) FROM tick WHERE unpublished AND schedule_id <> 'healthy'") == 2

        async with schedulers.connection() as connection:
            await schedules.define(connection, [schedules.Defined("deleted", 3, last_form, True, now)])
        caplog.clear()
        await schedulers.define(schedule("replaced", "0 0 1 1 *"), revision=3)

        async def fired() -> bool:
            return {event.data.schedule_id for event in await schedulers.ticked()} == {"healthy", "replaced"}

        await until(fired, why="the tick of the replaced one is published")
        async with schedulers.connection() as connection:
            await schedules.fail(connection, "replaced", 1, "a pass that read the revision before")
        await until(all_stated, why="nothing is left to publish")
    assert await schedulers.value("SELECT problem FROM schedule WHERE id = 'replaced'") == ""
    assert await schedulers.value("SELECT count(*) FROM tick WHERE unpublished OR schedule_id = 'deleted'") == 0
    assert "stored ticks" not in caplog.text


async def test_a_backfill_of_a_schedule_that_cannot_be_read_keeps_no_other_waiting(schedulers: Schedulers) -> None:
    """It was tried again for ever, and those behind it with it."""
    now = half_an_hour_ago()
    span = {"from_at": now - timedelta(hours=2), "until_at": now, "definitions_revision": 1}
    first, second = (operation(ScheduleBackfill, "schedule:bad", schedule_id="bad", **span) for _ in range(2))
    async with schedulers.connection() as connection:
        rule = schedule("bad", "0 0 1 1 *")
        await schedules.define(connection, [schedules.Defined("bad", 1, rule, False, now)])
        await ticks.keep_backfill(connection, first.data)
        await connection.execute("UPDATE schedule SET definition = '{}'")
    async with schedulers.scheduling():
        await schedulers.send(second)

        async def answered() -> bool:
            return len(await schedulers.states_published(OperationResult)) == 2

        await until(answered, why="both backfills are answered")
    results = {one.data.operation_id: one.data for one in await schedulers.states_published(OperationResult)}
    kept, refused = results[first.data.operation_id], results[second.data.operation_id]
    assert (kept.outcome, kept.reason) == (Outcome.FAILED, "the schedule cannot be read")
    assert (refused.outcome, refused.reason) == (Outcome.REFUSED, "schedule bad cannot be read")


async def test_a_schedule_at_the_end_of_the_calendar_stops_alone(schedulers: Schedulers) -> None:
    """Its last tick has no ten seconds after it: the pass failed for every schedule."""
    await schedulers.define(
        schedule("last", "59 59 23 31 12 *", starts_at="9999-12-31T00:00:00Z"),
        schedule("good", "* * * * * *"),
    )
    async with schedulers.scheduling():

        async def ticked() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick WHERE schedule_id = 'good'") > 0

        await until(ticked, why="the other schedule ticks")

        async def stopped() -> bool:
            problem = await schedulers.value("SELECT problem FROM schedule WHERE id = 'last'")
            return "cannot be computed" in (problem or "")

        await until(stopped, why="the one at fault says why it stopped")


@proves("scheduler.store.schedules: cursor.grows")
async def test_a_definition_that_changes_its_rule_never_fires_an_instant_of_the_past(schedulers: Schedulers) -> None:
    now = datetime.now(UTC)
    await schedulers.define(schedule("s", "0 0 1 1 *"), at=now - timedelta(days=3))
    async with schedulers.scheduling():

        async def known(revision: int) -> bool:
            return await schedulers.value("SELECT max(revision) FROM schedule") == revision

        await until(lambda: known(1), why="the first rule is known")
        await schedulers.define(schedule("s", "* * * * *", missed={"policy": "all"}), revision=2)
        await until(lambda: known(2), why="the second rule is known")

        async def stated() -> bool:
            states = await schedulers.states_published(ScheduleStated)
            return (
                bool(states) and states[-1].data.definitions_revision == 2 and states[-1].data.next_due_at is not None
            )

        await until(stated, why="the new state is published")
        assert await schedulers.value("SELECT count(*) FROM tick WHERE due_at <= $1", now) == 0


@proves("scheduler.store.ticks: tick.published")
async def test_a_stored_tick_is_published_also_when_its_schedule_changes_or_goes_before_that(
    schedulers: Schedulers,
) -> None:
    """The store pass counts a tick as fired. If an edit dropped it before it is published, nothing would ever start."""
    names = ("kept", "changed", "deleted", "paused", "fired before")
    await schedulers.define(*(schedule(name.replace(" ", "_"), "0 0 1 1 *") for name in names))
    async with schedulers.scheduling() as service:

        async def planned() -> bool:
            return await schedulers.value("SELECT count(*) FROM schedule WHERE next_tick_id IS NOT NULL") == len(names)

        await until(planned, why="each has its next tick")
    fire, store = (next(loop for loop in service.loops if loop.name == name) for name in ("fire", "store ticks"))
    await service.database.start()
    try:
        await schedulers.rows(
            "UPDATE schedule SET next_fire_at = now(), on_time_until = now() + interval '1 minute',"
            " cursor_at = next_due_at - interval '1 second'"
        )
        await schedulers.rows(
            "INSERT INTO tick (id, schedule_id, due_at, event_date, outcome, cause) SELECT next_tick_id, id,"
            " next_due_at, next_event_date, 'FIRED', 'backfill' FROM schedule WHERE id = 'fired_before'"
        )
        assert await store.one_pass() is False
        assert await schedulers.value("SELECT count(*) FROM tick WHERE unpublished") == 4
        async with service.database.unit_of_work() as work:
            new, at = {"changed": schedule("changed", "0 0 2 2 *")}, datetime.now(UTC)
            new["paused"] = schedule("paused", "0 0 1 1 *", paused=True)
            await schedules.define(
                work.connection,
                [schedules.Defined(id, 2, new.get(id), id not in new, at) for id in ("changed", "deleted", "paused")],
            )
        await fire.one_pass()
        assert await schedulers.value("SELECT count(*) FROM tick WHERE unpublished") == 0
    finally:
        await service.database.stop()
    async with schedulers.scheduling():

        async def published() -> bool:
            return {event.data.schedule_id for event in await schedulers.ticked()} == {
                "kept", "changed", "deleted", "paused",
            }  # fmt: skip

        await until(published, why="the four stored ticks are published")


async def test_a_backfill_of_failed_or_all_ticks_starts_other_plans_and_the_same_operation_twice_starts_them_once(
    schedulers: Schedulers,
) -> None:
    now = half_an_hour_ago()
    start = now - timedelta(hours=5)
    await schedulers.define(schedule("again", f"{now:%M} * * * *"))
    dues = [start + timedelta(hours=number) for number in range(4)]
    common = {"schedule_id": "again", "from_at": start, "until_at": dues[-1], "definitions_revision": 1}
    first = operation(ScheduleBackfill, "schedule:again", **common)
    failed = operation(ScheduleBackfill, "schedule:again", **common, only="failed", again=(dues[1],))
    everything = operation(ScheduleBackfill, "schedule:again", **common, only="all")
    async with schedulers.scheduling():
        for command, count in ((first, 4), (failed, 5), (failed, 5), (everything, 9)):
            await schedulers.send(command)

            async def fired(count: int = count) -> bool:
                return len({event.id for event in await schedulers.ticked()}) == count

            await until(fired, seconds=60, why=f"{count} ticks fired")
    ticked = await schedulers.ticked()
    plans = {event.data.plan_id for event in ticked}
    assert len(plans) == 9
    assert [event.data.due_at for event in ticked][4:5] == [dues[1]]
