"""The passes of the notifier: send what is due, update incidents, watch deadlines, publish, prune."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from prometheus_client import Counter

from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.clock import transaction_time
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.tasks import cancel
from signalbox_contracts.definitions.channel import LiveDestination
from signalbox_contracts.ids import delivery_id
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.notifications import Message, with_templates
from signalbox_notifier import facts, incidents
from signalbox_notifier.live.events import SYSTEM, notification_event
from signalbox_notifier.retries import (
    FALLBACK_AFTER_FAILURES,
    Failed,
    Gone,
    Result,
    Sent,
    is_pause,
    retry_in_seconds,
)
from signalbox_notifier.senders import Outgoing, Senders, send
from signalbox_notifier.settings import NotifierSettings
from signalbox_notifier.store import definitions, deliveries, digests, live, plans
from signalbox_notifier.store import incidents as incident_rows
from signalbox_notifier.store.definitions import KnownChannel
from signalbox_notifier.store.deliveries import Claimed, NewDelivery
from signalbox_notifier.telling import Telling, deadline_notice, update_after

log = logging.getLogger(__name__)
MAX_CHANNELS_AT_ONCE = 500
STOP_SECONDS = 3.0
"""How long a notifier that is stopped waits for the answers of receivers."""
_SENT = Counter("signalbox_notifier_tries_total", "Tries to deliver, by how they ended", ["state"])


@dataclass
class Sending:
    """Sends what is due. Each channel has a task of its own: a slow receiver delays nobody else."""

    database: Database
    senders: Senders
    settings: NotifierSettings
    tracing: telemetry.Telemetry
    wake_live: Callable[[], None]
    """Wakes the live feeds: a message to one was written."""
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Connections are made when they are needed."""

    async def stop(self) -> None:
        """Let messages under way arrive and be recorded; one that takes longer is sent once more after its lease."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=STOP_SECONDS)
        await cancel(*self._tasks.values())
        await self.senders.http.close()

    async def one_pass(self) -> None:
        """Give every channel that has something due a task, unless it has one."""
        self._tasks = {id: task for id, task in self._tasks.items() if not task.done()}
        async with self.database.connection() as connection:
            due = await deliveries.channels_due(connection)
        for channel_id in due:
            if channel_id not in self._tasks and len(self._tasks) < MAX_CHANNELS_AT_ONCE:
                self._tasks[channel_id] = asyncio.create_task(self._drain(channel_id), name=f"channel {channel_id}")

    async def _drain(self, channel_id: str) -> None:
        """Send everything that is due to one channel, one message after the other, at its rate."""
        try:
            while not self._stopping.is_set() and await self._send_next(channel_id):
                async with self.database.connection() as connection:
                    known = await definitions.channel(connection, channel_id)
                if known is not None:
                    seconds = min(60 / known.channel.messages_per_minute, 60.0) * 0.9
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), seconds)
        except Exception:
            log.exception("channel %s: its deliveries are tried again later", channel_id)

    async def _send_next(self, channel_id: str) -> bool:
        async with self.database.unit_of_work() as work:
            claimed = await deliveries.claim(work.connection, channel_id)
            known = await definitions.channel(work.connection, channel_id)
            if claimed is None:
                return False
            reference = await incident_rows.message_ref(work.connection, claimed.incident_id, claimed.channel_id)
        message = Message.model_validate_json(claimed.message)
        if known is None or known.closed:
            reason = known.closed if known is not None else "there is no such channel"
            await self._finish(claimed, known, Gone(reason), "dropped")
            return True
        message, problem = with_templates(message, known.channel.templates)
        outgoing = Outgoing(claimed.id, message, claimed.traceparent, reference)
        with self._span(claimed, known):
            result = await send(self.senders, known.channel.destination, outgoing)
        if problem:
            result = replace(result, answer=f"{result.answer} (sent in the usual words: {problem})"[:2000])
        await self._finish(claimed, known, result, _state(claimed, result))
        return True

    def _span(self, claimed: Claimed, known: KnownChannel) -> AbstractContextManager[Any]:
        """In the trace of the plan the message is about."""
        if not claimed.traceparent or not self.tracing.recording:
            return nullcontext()
        return self.tracing.tracer.start_as_current_span(
            f"send {known.channel.destination.kind}", context=telemetry.extract({"traceparent": claimed.traceparent}),
            attributes={
                "signalbox.delivery": str(claimed.id), "signalbox.channel": claimed.channel_id,
                "signalbox.try": claimed.attempts,
            },
        )  # fmt: skip

    async def _finish(self, claimed: Claimed, known: KnownChannel | None, result: Result, state: str) -> None:
        """Record the try, and what follows from it: the next try, a closed channel, the fallback, an answer."""
        wait = 0.0
        paused = state == "retrying" and is_pause(result, claimed.throttled)
        if isinstance(result, Failed) and state == "retrying":
            wait = retry_in_seconds(claimed.attempts, result, random.random(), claimed.throttled) or 0.0
        async with self.database.unit_of_work() as work:
            connection = work.connection
            if not await deliveries.finish(
                connection, claimed, state, result.answer, retry_seconds=wait, throttled=paused
            ):
                return
            if paused:
                await deliveries.pause(connection, claimed.channel_id, wait)
            if state == "sent" and known is not None and isinstance(known.channel.destination, LiveDestination):
                event = notification_event(known.channel.destination.user, outgoing_message(claimed, known))
                await live.append(connection, {SYSTEM: [event]})
                work.on_commit(self.wake_live)
            if isinstance(result, Gone) and result.disable and known is not None:
                reason = f"the receiver answered that it is gone: {result.answer}"
                await definitions.disable(connection, claimed.channel_id, reason, known.revision)
            if isinstance(result, Sent) and result.message_ref and claimed.incident_id is not None:
                await incident_rows.remember_message(
                    connection, claimed.incident_id, claimed.channel_id, result.message_ref
                )
            if known is not None and known.channel.fallback and _needs_fallback(claimed, state, paused=paused):
                await deliveries.add(connection, _fallback(claimed, known.channel.fallback))
            if claimed.event_type == "channel.test" and claimed.event_id:
                outcome = Outcome.DONE if state == "sent" else Outcome.FAILED
                now = await transaction_time(connection)
                facts.publish_answer(
                    work, claimed.event_id.removeprefix("operation:"), f"channel:{claimed.channel_id}",
                    "channel.test", outcome, result.answer, now,
                )  # fmt: skip
        _SENT.labels(state).inc()


@dataclass
class Passes:
    """What the notifier does by itself beside sending."""

    database: Database
    settings: NotifierSettings
    telling: Telling
    wake: Callable[[], None]
    """Runs the sending pass at once."""
    has_caught_up: Callable[[], Awaitable[bool]]
    """Whether the facts that came while nobody read were read."""

    async def update_incidents(self) -> bool:
        """Tell channels how incidents went on, and end snoozes; True when there may be more."""
        async with self.database.unit_of_work() as work:
            connection = work.connection
            now = await transaction_time(connection)
            awake = [incidents.wake(one, now) for one in await incident_rows.lock_snoozed(connection)]
            await incident_rows.save(connection, awake)
            for incident in awake:
                await incident_rows.wake_updates(connection, incident.id)
            due = await incident_rows.take_due_updates(connection)
            known = await incident_rows.lock(connection, [one.incident_id for one in due])
            for one in due:
                incident = known[one.incident_id]
                previous = (await incident_rows.messages(connection, incident.id)).get(one.channel_id)
                again = update_after(incident) if incident.silent else None
                await incident_rows.clear_update(connection, incident.id, one.channel_id, again)
                grown = previous is not None and previous.occurrences < incident.occurrences
                if grown and not incident.silent and incident.state != "RECOVERED":
                    await self.telling.notify_incident(
                        connection, incident, one.channel_id, one.subscription_id, None, None
                    )
            work.on_commit(self.wake)
        return len(due) == 100

    async def send_digests(self) -> None:
        """Make one message of what each subscription collected, when its oldest entry is due."""
        async with self.database.unit_of_work() as work:
            wanted = {one.id: one for one in await definitions.subscriptions(work.connection)}
            for id in await digests.due(work.connection, list(wanted)):
                entries = await digests.take(work.connection, id)
                if id in wanted:
                    await self.telling.notify_digest(work.connection, wanted[id], entries)
            work.on_commit(self.wake)

    async def check_deadlines(self) -> bool:
        """Tell of deadlines that have passed, each once; True when there may be more.

        After a start it waits until the facts that came meanwhile are read: a plan may have ended.
        """
        if not await self.has_caught_up():
            return False
        async with self.database.unit_of_work() as work:
            wanted = {one.id: one for one in await definitions.subscriptions(work.connection)}
            due = await plans.take_due_deadlines(work.connection, list(wanted))
            known = await plans.lock(work.connection, [plan_id for plan_id, _, _, _ in due])
            notices = [
                deadline_notice(known[plan_id][1], wanted[subscription], rule, due_at)
                for plan_id, subscription, rule, due_at in due
                if plan_id in known and subscription in wanted
            ]
            await self.telling.tell(work.connection, notices)
            work.on_commit(self.wake)
        return len(due) == 100

    async def publish(self) -> bool:
        """Publish deliveries and incidents that changed; True when there may be more."""
        async with self.database.unit_of_work() as work:
            now = await transaction_time(work.connection)
            rows = await deliveries.take_unpublished(work.connection)
            for row in rows:
                facts.publish_delivery(work, row, now)
            changed = await incident_rows.take_unpublished(work.connection)
            for incident in changed:
                facts.publish_incident(work, incident, now)
        return len(rows) == 200 or len(changed) == 200

    async def prune(self) -> bool:
        """Delete deliveries and plans past their retention, a batch a pass."""
        days = self.settings.delivery_keep_days
        async with self.database.unit_of_work() as work:
            gone = await deliveries.prune(work.connection, days)
            return gone + await plans.prune(work.connection, days) > 0

    async def prune_live(self) -> bool:
        """Delete old events of the live feed; True when there may be more."""
        async with self.database.connection() as connection:
            return await live.prune(connection, self.settings.live_keep_seconds)


def guarded_session(settings: NotifierSettings) -> aiohttp.ClientSession:
    """The one way out: every address is checked, whatever the channel's URL says."""
    return settings.guard().session(limit=MAX_CHANNELS_AT_ONCE)


def outgoing_message(claimed: Claimed, known: KnownChannel) -> Message:
    """The message of a delivery in the words of its channel."""
    return with_templates(Message.model_validate_json(claimed.message), known.channel.templates)[0]


def _state(claimed: Claimed, result: Result) -> str:
    if isinstance(result, Sent):
        return "sent"
    if isinstance(result, Gone) or (claimed.event_type == "channel.test" and not is_pause(result, claimed.throttled)):
        return "dead"
    return "dead" if retry_in_seconds(claimed.attempts, result, 0.5, claimed.throttled) is None else "retrying"


def _needs_fallback(claimed: Claimed, state: str, *, paused: bool) -> bool:
    """Whether the channel failed for long enough, or for good. The fallback gets a delivery once, however often."""
    failed = claimed.attempts - claimed.throttled
    return state in ("dead", "dropped") or (state == "retrying" and not paused and failed >= FALLBACK_AFTER_FAILURES)


def _fallback(claimed: Claimed, channel_id: str) -> NewDelivery:
    """The same message to the channel that stands in."""
    return NewDelivery(
        id=delivery_id(channel_id, f"fallback:{claimed.channel_id}", str(claimed.id)), channel_id=channel_id,
        subscription_id=claimed.subscription_id, incident_id=claimed.incident_id, plan_id=claimed.plan_id,
        event_id=claimed.event_id or "", event_type=claimed.event_type or "", title=claimed.title,
        message=claimed.message, traceparent=claimed.traceparent,
    )  # fmt: skip
