"""In: plan.state, tasks.state, task.progress, reprocessing.state, dead_letter.parked; channel and subscription
definitions; channel.test, delivery.resend, incident.acknowledge, incident.snooze, incident.resolve. Changes:
definition, plan, task_version, task_step, live_event, incident, delivery, deadline. Out: operation.result.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.clock import transaction_time
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.ids import delivery_id
from signalbox_contracts.messages.dead_letters import DeadLetterParked
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.messages.operations import (
    ChannelTest,
    DeliveryResend,
    IncidentAcknowledge,
    IncidentResolve,
    IncidentSnooze,
)
from signalbox_contracts.messages.plans import PlanRecord, PlanStated
from signalbox_contracts.messages.reprocessing import ReprocessingStated
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.messages.tasks import TaskProgress, TasksStated
from signalbox_contracts.notifications import Message
from signalbox_contracts.states import PLAN_ENDS, TaskState
from signalbox_notifier import facts, incidents
from signalbox_notifier.deadlines import deadlines
from signalbox_notifier.live.events import SYSTEM, parked_event, plan_events, progress_event, step_event, task_events
from signalbox_notifier.notices import Notice, PlanSummary, plan_notices, summary, task_notices, wants
from signalbox_notifier.steps import NOTHING_KNOWN, step_changes, step_notices
from signalbox_notifier.store import definitions as definition_rows
from signalbox_notifier.store import deliveries, live, plans, steps
from signalbox_notifier.store import incidents as incident_rows
from signalbox_notifier.store.deliveries import NewDelivery
from signalbox_notifier.telling import Telling

FOLLOWED = frozenset({"channel", "subscription"})


def definitions() -> Router:
    """Keep channels and subscriptions; every other kind is not for us."""
    router = Router()

    @router.on(DefinitionSnapshot)
    async def define(work: UnitOfWork, events: Sequence[Received[DefinitionSnapshot]]) -> None:
        for received in events:
            if received.event.data.kind in FOLLOWED:
                await definition_rows.define(work.connection, received.event.data)

    return router


def observed(telling: Telling, wake: Callable[[], None], wake_live: Callable[[], None]) -> Router:
    """Facts for the live feed, and perhaps worth a message. `wake_live` is called after each commit with events."""
    router = Router()

    @router.on(PlanStated)
    async def plan(work: UnitOfWork, events: Sequence[Received[PlanStated]]) -> None:
        records = sorted((one.event.data for one in events), key=lambda one: (one.plan_id, one.version))
        known = await plans.lock(work.connection, [one.plan_id for one in records])
        versions = {id: version for id, (version, _) in known.items()}
        errors = await plans.errors(work.connection, [one.plan_id for one in records if one.state in PLAN_ENDS])
        notices: list[Notice] = []
        fed: dict[UUID, list[str]] = {}
        for record in records:
            fed.setdefault(record.plan_id, []).extend(plan_events(record, versions.get(record.plan_id, 0)))
            notices += plan_notices(record, versions.get(record.plan_id, 0), errors.get(record.plan_id, ""))
            versions[record.plan_id] = max(versions.get(record.plan_id, 0), record.version)
        newest = {record.plan_id: record for record in records}
        kept = [(summary(one), one.version, one.state in PLAN_ENDS) for one in newest.values()]
        await plans.save(work.connection, kept)
        await live.append(work.connection, fed)
        await _deadlines(work, list(newest.values()))
        await telling.tell(work.connection, notices, traces=_traces(events))
        work.on_commit(wake)
        work.on_commit(wake_live)

    @router.on(TasksStated)
    async def tasks(work: UnitOfWork, events: Sequence[Received[TasksStated]]) -> None:
        records = [(one.event.data.plan_id, task) for one in events for task in one.event.data.tasks]
        known = await plans.lock(work.connection, [plan_id for plan_id, _ in records])
        versions = await plans.task_versions(work.connection, [task.task_id for _, task in records])
        notices: list[Notice] = []
        fed: dict[UUID, list[str]] = {}
        for plan_id, task in records:
            plan = known[plan_id][1] if plan_id in known else PlanSummary(plan_id)
            fed.setdefault(plan_id, []).extend(task_events(task, plan, versions.get(task.task_id, 0)))
            notices += task_notices(task, plan, versions.get(task.task_id, 0))
            versions[task.task_id] = max(versions.get(task.task_id, 0), task.version)
        await plans.save_tasks(work.connection, [(task.task_id, plan, task.version) for plan, task in records])
        await live.append(work.connection, fed)
        failed = {plan: task.error for plan, task in reversed(records) if task.state is TaskState.FAILED and task.error}
        if failed:
            await plans.keep_errors(work.connection, failed)
        if await _notify_of_tasks(work, telling, notices, _traces(events)):
            work.on_commit(wake)
        work.on_commit(wake_live)

    @router.on(TaskProgress)
    async def progress(work: UnitOfWork, events: Sequence[Received[TaskProgress]]) -> None:
        """Parts of runs that have parts of their own: the tasks of a DAG begin and end as tasks do."""
        reports = sorted((one.event.data for one in events if one.event.data.steps), key=lambda one: one.sequence)
        if not reports:
            return
        known_plans = await plans.lock(work.connection, [one.plan_id for one in reports])
        versions = await plans.task_versions(work.connection, [one.task_id for one in reports])
        known = await steps.load(work.connection, [one.task_id for one in reports])
        notices: list[Notice] = []
        fed: dict[UUID, list[str]] = {}
        for report in reports:
            before = known.get(report.task_id)
            if before is not None and (before.attempt, before.sequence) >= (report.attempt, report.sequence):
                continue
            is_same = before is not None and before.attempt == report.attempt
            changes, after = step_changes(report, before.steps if before is not None and is_same else NOTHING_KNOWN)
            known[report.task_id] = steps.KnownSteps(report.plan_id, report.attempt, report.sequence, after)
            plan = known_plans[report.plan_id][1] if report.plan_id in known_plans else PlanSummary(report.plan_id)
            made = list(step_notices(changes, report, plan))
            version = versions.get(report.task_id, 0)
            fed.setdefault(report.plan_id, []).extend(
                step_event(notice, change, report, version) for notice, change in zip(made, changes, strict=True)
            )
            notices += made
        await steps.save(work.connection, known)
        await live.append(work.connection, fed)
        if await _notify_of_tasks(work, telling, notices, _traces(events)):
            work.on_commit(wake)
        if any(fed.values()):
            work.on_commit(wake_live)

    @router.on(ReprocessingStated)
    async def reprocessing(work: UnitOfWork, events: Sequence[Received[ReprocessingStated]]) -> None:
        """Of several states of a job the newest is fed."""
        newest = {one.event.data.job_id: one.event for one in sorted(events, key=lambda one: one.event.data.version)}
        known = await plans.lock(work.connection, list(newest))
        summaries = {id: known[id][1] if id in known else PlanSummary(id) for id in newest}
        await live.append(
            work.connection,
            {id: [progress_event(event.data, summaries[id], event.time)] for id, event in newest.items()},
        )
        work.on_commit(wake_live)

    @router.on(DeadLetterParked)
    async def parked(work: UnitOfWork, events: Sequence[Received[DeadLetterParked]]) -> None:
        notices: list[Notice] = []
        for received in events:
            data = received.event.data
            notices.append(
                Notice(
                    event_id=f"dead-letter:{data.dead_letter_id}", type="system.message_parked", severity="error",
                    title=f"{data.service} parked a message of {data.topic}"[:200], text=data.error[:2000],
                    at=received.event.time, plan=PlanSummary(UUID(int=0), "Signalbox"),
                    details={"service": data.service, "dead_letter_id": str(data.dead_letter_id)},
                )
            )  # fmt: skip
        await live.append(work.connection, {SYSTEM: [parked_event(one.event.data, one.event.time) for one in events]})
        await telling.tell(work.connection, notices)
        work.on_commit(wake)
        work.on_commit(wake_live)

    return router


def control(telling: Telling, wake: Callable[[], None]) -> Router:
    """Operations on channels, deliveries and incidents."""
    router = Router()

    @router.on(ChannelTest)
    async def test(work: UnitOfWork, events: Sequence[Received[ChannelTest]]) -> None:
        for received in events:
            data, now = received.event.data, await transaction_time(work.connection)
            if await definition_rows.channel(work.connection, data.channel_id) is None:
                reason = f"there is no channel {data.channel_id}"
                facts.publish_answer(
                    work, data.operation_id, f"channel:{data.channel_id}", "channel.test", Outcome.REFUSED, reason, now
                )
                continue
            message = Message(
                type="channel.test", severity="info", title=f"Test of channel {data.channel_id}", at=now,
                text=f"{data.actor} asked for this message. {data.reason}".strip(),
            )  # fmt: skip
            await deliveries.add(
                work.connection,
                NewDelivery(
                    id=delivery_id(data.channel_id, "test", str(data.operation_id)), channel_id=data.channel_id,
                    subscription_id=None, incident_id=None, plan_id=None, event_id=f"operation:{data.operation_id}",
                    event_type="channel.test", title=message.title, message=message.model_dump_json(),
                    traceparent=received.trace.get("traceparent"),
                ),
            )  # fmt: skip
        work.on_commit(wake)

    @router.on(DeliveryResend)
    async def resend(work: UnitOfWork, events: Sequence[Received[DeliveryResend]]) -> None:
        for received in events:
            data, now = received.event.data, await transaction_time(work.connection)
            count = await deliveries.resend(work.connection, data.channel_id, data.delivery_ids)
            missing = len(data.delivery_ids) - count
            reason = f"{count} are sent again" + (f", {missing} are unknown or under way" if missing else "")
            outcome = Outcome.DONE if count else Outcome.REFUSED
            facts.publish_answer(
                work, data.operation_id, f"channel:{data.channel_id}", "delivery.resend", outcome, reason, now
            )
        work.on_commit(wake)

    @router.on(IncidentAcknowledge)
    async def acknowledge(work: UnitOfWork, events: Sequence[Received[IncidentAcknowledge]]) -> None:
        for received in events:
            data = received.event.data
            await _change(
                work, received, data.incident_id, "incident.acknowledge",
                lambda one, _, d=data: incidents.acknowledge(one, d.actor, d.reason),
            )  # fmt: skip

    @router.on(IncidentSnooze)
    async def snooze(work: UnitOfWork, events: Sequence[Received[IncidentSnooze]]) -> None:
        for received in events:
            data = received.event.data
            await _change(
                work, received, data.incident_id, "incident.snooze",
                lambda one, now, d=data: incidents.snooze(one, d.until_at, d.actor, d.reason, now),
            )  # fmt: skip

    @router.on(IncidentResolve)
    async def resolve(work: UnitOfWork, events: Sequence[Received[IncidentResolve]]) -> None:
        for received in events:
            data = received.event.data
            changed = await _change(
                work, received, data.incident_id, "incident.resolve",
                lambda one, now, d=data: incidents.resolve(one, d.actor, d.reason, now),
            )  # fmt: skip
            if changed is not None:
                await telling.notify_recovered(work.connection, changed)
        work.on_commit(wake)

    return router


async def _notify_of_tasks(
    work: UnitOfWork, telling: Telling, notices: Sequence[Notice], traces: Mapping[UUID, str]
) -> bool:
    """Make the deliveries of notices about single tasks, if anybody subscribed to those; whether somebody did."""
    subscriptions = await definition_rows.subscriptions(work.connection) if notices else []
    if not any(event.startswith("task") or "*" in event[:5] for one in subscriptions for event in one.events):
        return False
    await telling.tell(work.connection, notices, traces=traces)
    return True


async def _change(
    work: UnitOfWork,
    received: Received[IncidentAcknowledge] | Received[IncidentSnooze] | Received[IncidentResolve],
    incident_id: UUID,
    operation: str,
    change: Callable[[incidents.Incident, datetime], incidents.Incident],
) -> incidents.Incident | None:
    """Apply one command to its incident, and answer it; the incident as it is then, None when it was refused."""
    now = await transaction_time(work.connection)
    incident = (await incident_rows.lock(work.connection, [incident_id])).get(incident_id)
    outcome, reason, changed = Outcome.REFUSED, f"there is no incident {incident_id}", None
    if incident is not None:
        try:
            changed = change(incident, now)
            await incident_rows.save(work.connection, [changed])
            outcome, reason = Outcome.DONE, ""
        except ValueError as error:
            reason = str(error)
    operation_id = received.event.data.operation_id
    facts.publish_answer(work, operation_id, f"incident:{incident_id}", operation, outcome, reason, now)
    return changed


async def _deadlines(work: UnitOfWork, records: Sequence[PlanRecord]) -> None:
    """Plan deadlines of plans that live; forget those of plans that have started or ended."""
    ended = [one.plan_id for one in records if one.state in PLAN_ENDS]
    started = [one.plan_id for one in records if one.started_at is not None]
    await plans.drop_deadlines(work.connection, ended, started_only=False)
    await plans.drop_deadlines(work.connection, started, started_only=True)
    subscriptions = [one for one in await definition_rows.subscriptions(work.connection) if one.deadline is not None]
    for record in records:
        if record.state in PLAN_ENDS:
            continue
        for subscription in subscriptions:
            assert subscription.deadline is not None
            probe = Notice("", "deadline.missed", "warning", "", "", record.created_at, summary(record))
            if wants(subscription, probe):
                for rule, due_at in deadlines(subscription.deadline, record):
                    await plans.add_deadline(work.connection, record.plan_id, subscription.id, rule, due_at)


def _traces(
    events: Sequence[Received[PlanStated]] | Sequence[Received[TasksStated]] | Sequence[Received[TaskProgress]],
) -> dict[UUID, str]:
    """The trace of each plan in a batch: a message about a plan goes on in it."""
    found = ((one.event.data.plan_id, one.trace.get("traceparent") or one.event.traceparent) for one in events)
    return {plan_id: traceparent for plan_id, traceparent in found if traceparent}
