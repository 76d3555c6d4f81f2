"""Ticks and events from outside start plans: each once, beside or behind the previous one, with their own date."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from itertools import count, pairwise
from typing import Any

from signalbox_chassis.messaging.topics import create_topics
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import plan_id_from_tick, plan_id_from_trigger, task_id, tick_id
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData
from signalbox_contracts.messages.requests import PlanCancel
from signalbox_contracts.messages.states import MatchOutcome, SourceStated, TriggerStated
from signalbox_contracts.messages.ticks import ScheduleTicked, ScheduleTickedData
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.topics import topic as topic_named
from support.planner import GATEWAY, Planners, command
from support.proofs import proves
from support.service_fixture import until

HELD = ScriptedWork.model_validate({"script": {"held": True}})
QUICK = ScriptedWork.model_validate({"script": {}})
REVISIONS = count(1)
DUE = datetime(2026, 3, 2, 1, tzinfo=UTC)


def job(work: ScriptedWork = QUICK, **changes: Any) -> Job:
    values: dict[str, Any] = {"id": f"j{uuid.uuid4().hex[:8]}", "name": "Nightly", "engine": "e1", "work": work}
    return Job(**{**values, **changes})


def schedule(job: Job, overlap: str = "skip", **changes: Any) -> Schedule:
    values = {
        "id": f"s{uuid.uuid4().hex[:8]}", "name": "Nightly", "target": {"kind": "job", "id": job.id},
        "cron": "0 1 * * *", "overlap": overlap, **changes,
    }  # fmt: skip
    return Schedule.model_validate(values)


def tick(of: Schedule, days: int = 0, revision: int = 1, concurrency: int = 1) -> ScheduleTicked:
    due = DUE + timedelta(days=days)
    id = tick_id(of.id, due)
    data = ScheduleTickedData(
        tick_id=id, schedule_id=of.id, schedule_revision=revision, due_at=due, event_date=of.event_date.of(due),
        plan_id=plan_id_from_tick(id), schedule=of, concurrency=concurrency,
    )  # fmt: skip
    return ScheduleTicked.of(data, subject=of.id, source="signalbox/scheduler", time=datetime.now(UTC), id=id)


async def define(planners: Planners, *definitions: Job | Trigger | Freeze, deleted: bool = False) -> None:
    for one in definitions:
        revision = next(REVISIONS)
        data = DefinitionSnapshotData(kind=one.kind, id=one.id, revision=revision, definition=one, deleted=deleted)
        event = DefinitionSnapshot.of(
            data, subject=f"{one.kind}:{one.id}", source=GATEWAY, time=datetime.now(UTC),
            aggregateversion=revision,
        )  # fmt: skip
        await planners.executors.send(event)


async def until_known(planners: Planners, kind: str, id: str) -> None:
    async def known() -> bool:
        return await planners.value("SELECT count(*) FROM definition WHERE kind = $1 AND id = $2", kind, id) > 0

    await until(known, why=f"{kind} {id} is known")


async def test_a_tick_published_three_times_is_one_plan_with_the_intended_date(planners: Planners) -> None:
    target = job()
    nightly = schedule(target, params={}, labels={"team": "data"})
    await define(planners, target)
    event = tick(nightly)
    async with planners.running(), planners.executors.running():
        await until_known(planners, "job", target.id)
        await planners.executors.send(event, event)
        await planners.until_state(event.data.plan_id, "SUCCEEDED")
        again = event.model_copy(update={"id": str(uuid.uuid4())})
        other = tick(nightly, days=1)
        await planners.executors.send(again, other)
        await planners.until_state(other.data.plan_id, "SUCCEEDED")
    last = (await planners.plan_states(event.data.plan_id))[-1].data
    assert (last.event_date, last.origin, last.actor) == (date(2026, 3, 1), "schedule", f"schedule:{nightly.id}")
    assert last.labels == {"team": "data", "schedule": nightly.id}
    assert await planners.starts(event.data.plan_id, other.data.plan_id) == {1: 2}


@proves("planner.store.starts: overlap.serial")
async def until_behind(planners: Planners, plan: uuid.UUID, ahead: uuid.UUID) -> None:
    """Wait until the last state of a plan names this one as the plan that goes first."""

    async def named() -> bool:
        waiting = [one for state in (await planners.plan_states(plan))[-1:] for one in state.data.waiting]
        return [(one.why, one.holder) for one in waiting] == [("previous_plan", f"plan {ahead}")]

    await until(named, why=f"{plan} waits for {ahead}")


async def test_each_overlap_policy_does_its_own_beside_a_plan_that_runs(planners: Planners) -> None:
    target = job(HELD)
    await define(planners, target)
    policies = {name: schedule(target, name) for name in ("allow", "skip", "queue", "cancel_previous")}
    first = {name: tick(one) for name, one in policies.items()}
    second = {name: tick(one, days=1) for name, one in policies.items()}
    third = tick(policies["queue"], days=2)
    plans = {name: event.data.plan_id for name, event in second.items()}

    def held(plan: uuid.UUID) -> uuid.UUID:
        return task_id(plan, target.id)

    async with planners.running(), planners.executors.running():
        await until_known(planners, "job", target.id)
        await planners.executors.send(*first.values())
        for event in first.values():
            await planners.until_state(event.data.plan_id, "RUNNING")
        await planners.executors.send(*second.values(), third)
        await planners.until_state(plans["allow"], "RUNNING")
        await planners.until_state(plans["skip"], "REFUSED")
        await planners.until_state(plans["queue"], "ACCEPTED")
        await planners.until_state(first["cancel_previous"].data.plan_id, "CANCELLED")
        await planners.until_state(plans["cancel_previous"], "RUNNING")
        await until_behind(planners, plans["queue"], first["queue"].data.plan_id)
        await until_behind(planners, third.data.plan_id, plans["queue"])
        await planners.executors.send(command(PlanCancel, plans["queue"], kill=False))
        await planners.until_state(plans["queue"], "CANCELLED")
        await until_behind(planners, third.data.plan_id, first["queue"].data.plan_id)
        await planners.until_running(first["queue"].data.plan_id, held(first["queue"].data.plan_id))
        await planners.executors.release(held(first["queue"].data.plan_id))
        await planners.until_state(third.data.plan_id, "RUNNING")
        left = [first["allow"], second["allow"], first["skip"], second["cancel_previous"], third]
        for event in left:
            await planners.until_running(event.data.plan_id, held(event.data.plan_id))
            await planners.executors.release(held(event.data.plan_id))
        for event in left:
            await planners.until_state(event.data.plan_id, "SUCCEEDED")
    reason = (await planners.plan_states(plans["skip"]))[-1].data.reason
    assert reason == f"overlap policy skip: plan {first['skip'].data.plan_id} of the same source has not ended"


async def test_a_backfill_of_two_at_once_runs_two_and_starts_the_next_when_one_ends(planners: Planners) -> None:
    target = job(HELD)
    nightly = schedule(target, "queue")
    await define(planners, target)
    plans = [tick(nightly, days=days, concurrency=2) for days in range(5)]
    ids = [one.data.plan_id for one in plans]

    async def states() -> list[str]:
        rows = await planners.rows("SELECT id, state FROM plan WHERE id = ANY($1)", ids)
        found = {row["id"]: row["state"] for row in rows}
        return [found.get(id, "") for id in ids]

    async with planners.running(), planners.executors.running():
        await until_known(planners, "job", target.id)
        await planners.executors.send(*plans)
        for number, id in enumerate(ids):
            running = min(2, 5 - number)
            wanted = [*["SUCCEEDED"] * number, *["RUNNING"] * running, *["ACCEPTED"] * (5 - number - running)]

            async def as_wanted(wanted: list[str] = wanted) -> bool:
                return await states() == wanted

            await until(as_wanted, why=f"{wanted}")
            await planners.until_running(id, task_id(id, target.id))
            await planners.executors.release(task_id(id, target.id))
        await planners.until_state(ids[-1], "SUCCEEDED")


async def test_a_tick_whose_job_is_gone_is_refused_with_the_reason(planners: Planners) -> None:
    target = job()
    event = tick(schedule(target))
    versioned = tick(schedule(target, target={"kind": "job", "id": target.id, "version": 7}))
    async with planners.running():
        await planners.executors.send(event)
        await planners.until_state(event.data.plan_id, "REFUSED")
        await define(planners, target)
        await until_known(planners, "job", target.id)
        await planners.executors.send(versioned)
        await planners.until_state(versioned.data.plan_id, "REFUSED")
    assert (await planners.plan_states(event.data.plan_id))[-1].data.reason == f"there is no job {target.id}"
    reason = (await planners.plan_states(versioned.data.plan_id))[-1].data.reason
    assert reason == f"there is no job {target.id} with version 7"


def outside(source: str, id: str, data: Any, **changes: Any) -> TriggerEvent:
    values = {
        "id": id, "source": source, "type": "file.created", "subject": "", "time": datetime(2026, 3, 2, 5, tzinfo=UTC),
        "data": data, **changes,
    }  # fmt: skip
    return TriggerEvent.model_validate(values)


async def test_events_that_match_start_one_plan_each_and_every_other_outcome_has_its_reason(
    planners: Planners,
) -> None:
    """The same event by two senders, at other times too, is one plan: dedupe is by source and id."""
    target = job(params={"path": {"type": "string"}})
    source = f"lake/{uuid.uuid4().hex[:8]}"
    trigger = Trigger.model_validate(
        {
            "id": f"t{uuid.uuid4().hex[:8]}", "name": "New files", "target": {"kind": "job", "id": target.id},
            "match": {"types": ["file.*"], "sources": [source], "condition": "data.size > 10"},
            "mapping": {"path": "/data/path"}, "event_date_from": "/data/day",
        }
    )  # fmt: skip
    await define(planners, target, trigger)
    good = {"size": 11, "path": "/in/a", "day": "2026-02-28"}
    events = [
        outside(source, "1", good),
        outside(source, "1", good, time=datetime(2026, 3, 3, tzinfo=UTC)),
        outside(source, "2", {**good, "size": 10}),
        outside(source, "3", {"path": "/in/a"}),
        outside(source, "4", {"size": 11, "day": "2026-02-28"}),
        outside(source, "5", {**good, "day": "yesterday"}),
        outside("elsewhere", "6", good),
        outside(source, "7", good, type="dir.created"),
    ]
    plan = plan_id_from_trigger(trigger.id, source, "1")
    async with planners.running(), planners.executors.running():
        await until_known(planners, "trigger", trigger.id)
        await planners.executors.send(*events)
        await planners.until_state(plan, "SUCCEEDED")

        async def judged() -> bool:
            stated = await planners.executors.states_published(TriggerStated)
            return sum(len(one.data.events) for one in stated if one.data.trigger_id == trigger.id) == 6

        await until(judged, why="six events are judged")
        await planners.executors.send(*[events[2]] * 3)

        async def counted() -> bool:
            sources = [one.data for one in await planners.executors.states_published(SourceStated)]
            of_source = [one for one in sources if one.source == source]
            return bool(of_source) and (of_source[-1].received, of_source[-1].repeated) == (10, 3)

        await until(counted, why="events that were received before are counted, and nothing else")
    stated = [one.data for one in await planners.executors.states_published(TriggerStated)]
    mine = [one for one in stated if one.trigger_id == trigger.id]
    outcomes = sorted((one.event_id, one.outcome, one.why[:40]) for record in mine for one in record.events)
    assert outcomes == [
        ("1", MatchOutcome.MATCHED, ""),
        ("1", MatchOutcome.REPEATED, "this event was taken before"),
        ("2", MatchOutcome.NOT_MATCHED, "the condition is false"),
        ("3", MatchOutcome.NOT_MATCHED, "the condition: KeyError: 'size'"),
        ("4", MatchOutcome.REFUSED, "mapping.path: the event has nothing at /"),
        ("5", MatchOutcome.REFUSED, "event_date_from: there is no date of the"),
    ]
    assert (mine[-1].matched, mine[-1].not_matched) == (1, 2)
    last = (await planners.plan_states(plan))[-1].data
    assert (last.event_date, last.origin) == (date(2026, 2, 28), "trigger")
    spec = await planners.value("SELECT spec::json->'params' FROM plan WHERE id = $1", plan)
    assert json.loads(spec) == {"path": "/in/a"}


async def test_a_burst_of_events_is_one_plan_of_the_last_one_after_a_quiet_spell(planners: Planners) -> None:
    target, source = job(), f"lake/{uuid.uuid4().hex[:8]}"
    trigger = Trigger.model_validate(
        {
            "id": f"t{uuid.uuid4().hex[:8]}", "name": "Burst", "target": {"kind": "job", "id": target.id},
            "match": {"sources": [source]}, "debounce_seconds": 2, "debounce_by": "/data/table",
        }
    )  # fmt: skip
    await define(planners, target, trigger)
    async with planners.running(), planners.executors.running():
        await until_known(planners, "trigger", trigger.id)
        burst = [outside(source, f"a{n}", {"table": "a"}) for n in range(5)]
        await planners.executors.send(*burst, outside(source, "b", {"table": "b"}))
        for last in ("a4", "b"):
            await planners.until_state(plan_id_from_trigger(trigger.id, source, last), "SUCCEEDED")
    plans = await planners.rows("SELECT id FROM plan WHERE spec LIKE '%' || $1 || '%'", f"trigger:{trigger.id}")
    assert len(plans) == 2


def trigger(target: Job, source: str, **changes: Any) -> Trigger:
    values = {
        "id": f"t{uuid.uuid4().hex[:8]}", "name": "New files", "target": {"kind": "job", "id": target.id},
        "match": {"sources": [source]}, **changes,
    }  # fmt: skip
    return Trigger.model_validate(values)


async def until_outcomes(planners: Planners, of: Trigger, count: int) -> list[tuple[str, MatchOutcome]]:
    found: list[tuple[str, MatchOutcome]] = []

    async def there() -> bool:
        stated = await planners.executors.states_published(TriggerStated)
        found[:] = [
            (event.event_id, event.outcome)
            for one in stated
            if one.data.trigger_id == of.id
            for event in one.data.events
        ]
        return len(found) >= count

    await until(there, why=f"{count} outcomes")
    return found


@proves("planner.store.events: batch.once")
async def test_events_of_a_batch_start_one_plan_with_a_list_of_their_values(planners: Planners) -> None:
    """INVARIANT batch.once: also when the planner dies between two of them."""
    target, source = job(params={"path": {"type": "json"}}), f"lake/{uuid.uuid4().hex[:8]}"
    batching = trigger(target, source, batch={"max_events": 5, "max_seconds": 3600}, mapping={"path": "/data/path"})
    await define(planners, target, batching)
    events = [outside(source, f"b{number}", {"path": f"/in/{number}"}) for number in range(7)]
    async with planners.running():
        await until_known(planners, "trigger", batching.id)
        await planners.executors.send(*events[:4])
        await until_outcomes(planners, batching, 4)
    async with planners.running(), planners.executors.running():
        await planners.executors.send(*events[4:], *events)
        await planners.until_state(plan_id_from_trigger(batching.id, source, "b0"), "SUCCEEDED")
        await planners.rows("UPDATE batched_event SET received_at = now() - interval '2 hours'")
        outcomes = await until_outcomes(planners, batching, 14)
        for first in ("b0", "b5"):
            await planners.until_state(plan_id_from_trigger(batching.id, source, first), "SUCCEEDED")
    assert [id for id, outcome in outcomes if outcome is MatchOutcome.BATCHED] == [event.id for event in events]
    assert [id for id, outcome in outcomes if outcome is MatchOutcome.MATCHED] == [event.id for event in events]
    full = await planners.value(
        "SELECT spec::json->'params' FROM plan WHERE id = $1", plan_id_from_trigger(batching.id, source, "b0")
    )
    assert json.loads(full) == {"path": [f"/in/{number}" for number in range(5)]}


@proves("planner.store.events: held.once")
async def test_events_of_a_freeze_are_decided_by_the_policy_of_their_trigger_when_it_ends(planners: Planners) -> None:
    target, source = job(), f"lake/{uuid.uuid4().hex[:8]}"
    policies = {
        name: trigger(target, source, missed={"policy": name, "max": 2, "grace_seconds": 0})
        for name in ("none", "latest", "all")
    }
    freeze = Freeze.model_validate({"id": "f1", "name": "f1", "reason": "release", "author": "user:ann"})
    await define(planners, target, *policies.values(), freeze)
    async with planners.running(), planners.executors.running():
        await until_known(planners, "freeze", "f1")
        await planners.executors.send(*(outside(source, f"f{number}", {}) for number in range(3)))
        for one in policies.values():
            held = await until_outcomes(planners, one, 3)
            assert {outcome for _, outcome in held} == {MatchOutcome.HELD}
        await define(planners, freeze, deleted=True)
        decided = {name: (await until_outcomes(planners, one, 6))[3:] for name, one in policies.items()}
        for one, event in ((policies["latest"], "f2"), (policies["all"], "f1"), (policies["all"], "f2")):
            await planners.until_state(plan_id_from_trigger(one.id, source, event), "SUCCEEDED")
    started = {
        name: [id for id, outcome in outcomes if outcome is MatchOutcome.MATCHED] for name, outcomes in decided.items()
    }
    assert started == {"none": [], "latest": ["f2"], "all": ["f1", "f2"]}
    assert all(
        outcome in (MatchOutcome.MATCHED, MatchOutcome.SKIPPED) for one in decided.values() for _, outcome in one
    )


async def test_events_that_cannot_be_read_and_those_of_a_freeze_keep_no_other_from_starting(planners: Planners) -> None:
    """One event at fault was in the transaction of all; sixty batches that a freeze holds were all a pass looked at."""
    target, source = job(params={"path": {"type": "json"}}), f"lake/{uuid.uuid4().hex[:8]}"
    bouncing = trigger(target, source, debounce_seconds=1, match={"sources": [source], "types": ["bounced"]})
    paced = trigger(target, source, starts_per_minute=600, match={"sources": [source], "types": ["paced"]})
    batching = trigger(
        target, source, batch={"max_events": 1}, mapping={"path": "/data/path"},
        match={"sources": [source], "types": ["batched"]},
    )  # fmt: skip
    held = trigger(target, source, id="a-first", project="closed", batch={"max_events": 1, "by": "/data/path"})
    late = trigger(target, source, id="late", project="closed", debounce_seconds=1, match={"types": ["never"]})
    freeze = Freeze.model_validate(
        {"id": "f2", "name": "f2", "reason": "release", "author": "user:ann", "projects": ["closed"]}
    )
    await define(planners, target, bouncing, paced, batching, held, late, freeze)
    async with planners.running():
        await until_known(planners, "freeze", "f2")
    await planners.rows(
        "INSERT INTO batched_event (trigger_id, key, event)"
        " SELECT 'a-first', n::text, '{}' FROM generate_series(1, 60) AS n"
    )
    await planners.rows("INSERT INTO debounced_event VALUES ($1, 'faulty', '{}', now())", bouncing.id)
    never = outside(source, "l", {}, type="never").model_dump_json()
    await planners.rows("INSERT INTO debounced_event VALUES ('late', '', $1, now())", never)
    await planners.rows("INSERT INTO delayed_start VALUES (gen_random_uuid(), $1, now(), '{}')", paced.id)
    async with planners.running(), planners.executors.running():
        events = [outside(source, kind, {"path": 1}, type=kind) for kind in ("bounced", "paced", "paced2", "batched")]
        events[2] = events[2].model_copy(update={"type": "paced"})
        await planners.executors.send(*events)
        for one, id in ((bouncing, "bounced"), (paced, "paced"), (paced, "paced2"), (batching, "batched")):
            await planners.until_state(plan_id_from_trigger(one.id, source, id), "SUCCEEDED")
        assert [outcome for _, outcome in await until_outcomes(planners, late, 1)] == [MatchOutcome.HELD]
    assert await planners.value("SELECT count(*) FROM batched_event WHERE trigger_id = 'a-first'") == 60
    assert await planners.value("SELECT count(*) FROM debounced_event WHERE due_at > now()") == 1, "tried again later"


async def test_starts_beyond_the_rate_of_a_trigger_wait_for_their_turn(planners: Planners) -> None:
    target, source = job(), f"lake/{uuid.uuid4().hex[:8]}"
    paced = trigger(target, source, starts_per_minute=30)
    await define(planners, target, paced)
    async with planners.running(), planners.executors.running():
        await until_known(planners, "trigger", paced.id)
        await planners.executors.send(*(outside(source, f"r{number}", {}) for number in range(3)))
        for number in range(3):
            await planners.until_state(plan_id_from_trigger(paced.id, source, f"r{number}"), "SUCCEEDED")
        rows = await planners.rows("SELECT started_at FROM plan WHERE spec LIKE '%' || $1 || '%' ORDER BY 1", paced.id)
    gaps = [(after["started_at"] - before["started_at"]).total_seconds() for before, after in pairwise(rows)]
    assert all(gap > 1 for gap in gaps), gaps


async def test_a_source_with_its_own_topic_is_believed_there_only(planners: Planners) -> None:
    target, name = job(), f"bank{uuid.uuid4().hex[:8]}"
    believed = trigger(target, f"{name}*")
    own = topic_named(f"triggers.v1.{name}")
    await create_topics(planners.executors.bootstrap, [own], prefix=planners.executors.prefix)
    await define(planners, target, believed)
    async with planners.running(source_topics=name), planners.executors.running():
        await until_known(planners, "trigger", believed.id)
        await planners.executors.send(outside(name, "forged", {}))
        await planners.executors.send(outside(f"{name}/eu", "real", {}), topic=own)
        await planners.until_state(plan_id_from_trigger(believed.id, f"{name}/eu", "real"), "SUCCEEDED")

        async def parked() -> bool:
            errors = [row["error"] for row in await planners.rows("SELECT error FROM dead_letter")]
            return any(f"its events belong on triggers.v1.{name}" in error for error in errors)

        await until(parked, why="the forged event is parked with the reason")


async def test_a_newer_plan_replaces_the_one_that_runs_and_those_that_wait_for_it(planners: Planners) -> None:
    """Each that waited ran to its end otherwise, one after the other, for what nobody wanted any more."""
    target = job(HELD)
    await define(planners, target)
    policy = schedule(target, "cancel_previous")
    first, second, third = (tick(policy, days=n) for n in range(3))
    async with planners.running():
        await until_known(planners, "job", target.id)
        await planners.executors.send(first)
        await planners.until_state(first.data.plan_id, "RUNNING")
        await planners.executors.send(second)
        await planners.until_state(second.data.plan_id, "ACCEPTED")
        await planners.until_state(first.data.plan_id, "CANCELLING")
        await planners.executors.send(third)
        await planners.until_state(third.data.plan_id, "ACCEPTED")
        await planners.until_state(second.data.plan_id, "CANCELLED")
    reason = (await planners.plan_states(second.data.plan_id))[-1].data.reason
    assert reason == f"overlap policy cancel_previous: replaced by plan {third.data.plan_id}"
