"""Matches a batch of events with every trigger, and publishes what each trigger made of them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from pydantic import TypeAdapter

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.freeze import freeze_of
from signalbox_contracts.event_matching import Match, batch_key, debounce_key, match, together
from signalbox_contracts.ids import derived_id, plan_id_from_trigger
from signalbox_contracts.messages.states import (
    MatchOutcome,
    MatchRecord,
    SourceRecord,
    SourceStated,
    TriggerRecord,
    TriggerStated,
)
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.pages import packed
from signalbox_planner.starts import StartRequest, trigger_request
from signalbox_planner.store import definitions, plans, starts
from signalbox_planner.store import events as store
from signalbox_planner.store.definitions import KnownTrigger
from signalbox_planner.store.events import SourceArrivals

SOURCE = "signalbox/planner"
REQUESTS: TypeAdapter[StartRequest] = TypeAdapter(StartRequest)
MAX_LAG_SECONDS = 31_536_000.0  # a record's time is its writer's
TAKEN = "this event was taken before"


@dataclass
class Settled:
    """What became of the events of one trigger."""

    known: KnownTrigger
    now: datetime
    requests: list[StartRequest] = field(default_factory=list[StartRequest])
    records: list[MatchRecord] = field(default_factory=list[MatchRecord])

    def record(self, event: TriggerEvent, outcome: MatchOutcome, why: str = "", plan: UUID | None = None) -> None:
        self.records.append(
            MatchRecord(
                event_id=event.id, event_source=event.source, event_type=event.type, outcome=outcome, why=why[:2000],
                plan_id=plan, at=self.now,
            )
        )  # fmt: skip


async def match_events(
    work: UnitOfWork, events: Sequence[TriggerEvent], now: datetime, *, lag_seconds: float = 0
) -> list[StartRequest]:
    """Judge these events by every trigger. Returns the plans to start; publishes `trigger.state` with the reasons.

    `lag_seconds`: how long the newest of them took from the broker to here.
    """
    requests: list[StartRequest] = []
    claimed: set[int] = set()
    for known in await definitions.triggers(work.connection):
        judged = [
            (number, event, result) for number, event in enumerate(events)
            if (result := match(known.trigger, event)) is not None
        ]  # fmt: skip
        claimed |= {number for number, _, _ in judged}
        if judged:
            settled = Settled(known, now)
            await _settle(work, settled, [(event, result) for _, event, result in judged])
            await publish(work, settled)
            requests += settled.requests
    await _publish_sources(work, events, claimed, now, lag_seconds)
    return requests


async def count_repeated(work: UnitOfWork, events: Sequence[TriggerEvent], now: datetime) -> None:
    """Count events that were handled before. They start nothing."""
    counts = [
        SourceArrivals(source, len(found), 0, len(found), max(event.time for event in found))
        for source, found in _by_source(events).items()
    ]
    await _publish_counts(work, counts, now, 0)


async def start(
    work: UnitOfWork, settled: Settled, events: Sequence[tuple[TriggerEvent, Match]], *, one_plan: bool = False
) -> None:
    """Start a plan for each of these events, or one for all; those that come too early wait for their turn."""
    known = settled.known
    target = await definitions.target(work.connection, known.trigger)
    groups = [list(events)] if one_plan else [[one] for one in events]
    ids = await _plan_ids(work.connection, known, [group[0][0] for group in groups])
    found: list[StartRequest] = []
    for group, plan_id in zip(groups, ids, strict=True):
        if plan_id is None:
            for event, _ in group:
                settled.record(event, MatchOutcome.REPEATED, TAKEN)
            continue
        result = together(known.trigger, [result for _, result in group]) if one_plan else group[0][1]
        request = trigger_request(known.trigger, [event for event, _ in group], result, plan_id, target, known.revision)
        found.append(request)
        settled.requests.append(request)
        for event, _ in group:
            settled.record(event, MatchOutcome.MATCHED, plan=plan_id)
    if found and known.trigger.starts_per_minute is not None:
        await _pace(work, settled, found, 60 / known.trigger.starts_per_minute)


def matched_again(settled: Settled, events: Sequence[TriggerEvent]) -> list[tuple[TriggerEvent, Match]]:
    """Events that waited, matched by the trigger as it is now; those that no longer match are recorded."""
    found: list[tuple[TriggerEvent, Match]] = []
    for event in events:
        result = match(settled.known.trigger, event)
        if result is not None and result.outcome is MatchOutcome.MATCHED:
            found.append((event, result))
        else:
            why = result.why if result is not None else "the trigger looks at other events now"
            settled.record(event, result.outcome if result is not None else MatchOutcome.SKIPPED, why)
    return found


async def publish(work: UnitOfWork, settled: Settled) -> None:
    """`trigger.state` with every outcome, in pages."""
    known, now, records = settled.known, settled.now, settled.records
    for page in packed(records):
        outcomes: dict[MatchOutcome, int] = defaultdict(int)
        for record in page:
            outcomes[record.outcome] += 1
        matched = outcomes[MatchOutcome.MATCHED]
        count = await starts.count(
            work.connection, known.trigger.id, matched=matched, not_matched=outcomes[MatchOutcome.NOT_MATCHED],
            last_matched_at=now if matched else None,
        )  # fmt: skip
        record = TriggerRecord(
            trigger_id=known.trigger.id, version=count.version, definitions_revision=known.revision,
            paused=known.trigger.paused, matched=count.matched, not_matched=count.not_matched,
            last_matched_at=count.last_matched_at, events=page,
        )  # fmt: skip
        work.publish(
            TriggerStated.of(
                record, subject=f"trigger:{known.trigger.id}", source=SOURCE, time=now,
                aggregateversion=count.version, project=known.trigger.project,
            )
        )  # fmt: skip


async def _settle(work: UnitOfWork, settled: Settled, judged: Sequence[tuple[TriggerEvent, Match]]) -> None:
    """Tell repeated events apart; then start, hold, batch or debounce what is new, and record every outcome."""
    trigger = settled.known.trigger
    matched = {(event.source, event.id) for event, one in judged if one.outcome is MatchOutcome.MATCHED}
    seen = [(trigger.id, source, id, float(trigger.dedupe_seconds)) for source, id in sorted(matched)]
    fresh = await starts.take_events(work.connection, seen) if seen else set[tuple[str, str, str]]()
    new: list[tuple[TriggerEvent, Match]] = []
    for event, result in judged:
        key = (trigger.id, event.source, event.id)
        if result.outcome is not MatchOutcome.MATCHED:
            settled.record(event, result.outcome, result.why)
        elif key in fresh:
            fresh.discard(key)
            new.append((event, result))
        else:
            settled.record(event, MatchOutcome.REPEATED, TAKEN)
    if new:
        await admit(work, settled, new)


async def admit(work: UnitOfWork, settled: Settled, new: Sequence[tuple[TriggerEvent, Match]]) -> None:
    """What becomes of events that matched and were not taken before."""
    trigger, connection = settled.known.trigger, work.connection
    if await hold_if_frozen(work, settled, new):
        return
    if trigger.batch is not None:
        texts = [(batch_key(trigger, event), event.model_dump_json()) for event, _ in new]
        await store.add_to_batches(connection, trigger.id, texts)
        why = f"starts with up to {trigger.batch.max_events} events, or after {trigger.batch.max_seconds:g} s"
        for event, _ in new:
            settled.record(event, MatchOutcome.BATCHED, why)
    elif trigger.debounce_seconds:
        for event, _ in new:
            key = debounce_key(trigger, event)
            await starts.debounce(connection, trigger.id, key, event.model_dump_json(), trigger.debounce_seconds)
            why = f"starts after {trigger.debounce_seconds:g} s without another"
            settled.record(event, MatchOutcome.DEBOUNCED, why)
    else:
        await start(work, settled, new)


async def hold_if_frozen(work: UnitOfWork, settled: Settled, new: Sequence[tuple[TriggerEvent, Match]]) -> bool:
    """Hold these events if a freeze holds their trigger; whether one does."""
    trigger = settled.known.trigger
    freeze = freeze_of(await definitions.freezes(work.connection), trigger.project, settled.now)
    if freeze is None:
        return False
    await store.hold(work.connection, trigger.id, freeze.id, [event.model_dump_json() for event, _ in new])
    why = f"freeze {freeze.id}: {freeze.reason}; decided when it ends, policy {trigger.missed.policy}"
    for event, _ in new:
        settled.record(event, MatchOutcome.HELD, why)
    return True


async def _publish_sources(
    work: UnitOfWork, events: Sequence[TriggerEvent], claimed: set[int], now: datetime, lag_seconds: float
) -> None:
    """Count what came by source and hour, and publish the counts."""
    unclaimed = Counter(event.source for number, event in enumerate(events) if number not in claimed)
    counts = [
        SourceArrivals(source, len(found), unclaimed[source], 0, max(event.time for event in found))
        for source, found in _by_source(events).items()
    ]
    await _publish_counts(work, counts, now, lag_seconds)


def _by_source(events: Sequence[TriggerEvent]) -> dict[str, list[TriggerEvent]]:
    found: dict[str, list[TriggerEvent]] = defaultdict(list)
    for event in events:
        found[event.source].append(event)
    return found


async def _publish_counts(
    work: UnitOfWork, counts: Sequence[SourceArrivals], now: datetime, lag_seconds: float
) -> None:
    for count in await store.count_sources(work.connection, counts):
        record = SourceRecord(
            source=count.source, hour_at=count.hour_at, version=count.version, received=count.received,
            unclaimed=count.unclaimed, repeated=count.repeated, last_event_at=count.last_event_at,
            lag_seconds=min(max(0.0, lag_seconds), MAX_LAG_SECONDS),
        )  # fmt: skip
        subject = f"source:{count.source}"[:512]
        work.publish(
            SourceStated.of(
                record, subject=subject, source=SOURCE, time=now, aggregateversion=count.version,
                id=derived_id(SourceStated.type_name(), subject, count.hour_at.isoformat(), count.version),
            )
        )  # fmt: skip


async def _plan_ids(connection: Connection, known: KnownTrigger, events: Sequence[TriggerEvent]) -> list[UUID | None]:
    """The plan of each event; None where this very event has one.

    An event that is sent again after its window, with another time, starts anew. One that is only read again does not.
    """
    ids = [plan_id_from_trigger(known.trigger.id, event.source, event.id) for event in events]
    present = await plans.created_at(connection, ids)
    found: list[UUID | None] = []
    for id, event in zip(ids, events, strict=True):
        if id not in present:
            found.append(id)
        elif present[id] == event.time:
            found.append(None)
        else:
            found.append(uuid5(id, f"sent again:{event.time.isoformat()}"))
    return found


async def _pace(work: UnitOfWork, settled: Settled, requests: Sequence[StartRequest], seconds: float) -> None:
    """Let starts wait for their turn; beyond `MAX_DELAYED` they are refused."""
    trigger_id = settled.known.trigger.id
    room = store.MAX_DELAYED - await store.delayed(work.connection, trigger_id)
    chosen, refused = list(requests[: max(0, room)]), list(requests[max(0, room) :])
    for request in refused:
        _change(settled, request, MatchOutcome.REFUSED, f"{store.MAX_DELAYED} starts of {trigger_id} wait already")
    if chosen:
        first = await store.reserve(work.connection, trigger_id, seconds, len(chosen))
        dues = [(first + timedelta(seconds=seconds * number), one) for number, one in enumerate(chosen)]
        waiting = [(due, one) for due, one in dues if due > settled.now]
        texts = [(one.data.plan_id, due, REQUESTS.dump_json(one).decode()) for due, one in waiting]
        await store.delay(work.connection, trigger_id, texts)
        for due, one in waiting:
            rate = f"at most {60 / seconds:g} starts a minute"
            _change(settled, one, MatchOutcome.MATCHED, f"starts at {due.isoformat(timespec='seconds')}: {rate}")


def _change(settled: Settled, request: StartRequest, outcome: MatchOutcome, why: str) -> None:
    """This plan does not start now, and the records of its events say why."""
    plan = request.data.plan_id
    settled.requests[:] = [one for one in settled.requests if one.data.plan_id != plan]
    changes = {"outcome": outcome, "why": why} | ({"plan_id": None} if outcome is MatchOutcome.REFUSED else {})
    settled.records[:] = [one.model_copy(update=changes) if one.plan_id == plan else one for one in settled.records]
