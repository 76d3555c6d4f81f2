"""Matches a batch of events with every trigger, and publishes what each trigger made of them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.ids import plan_id_from_trigger
from signalbox_contracts.messages.states import MatchOutcome, MatchRecord, TriggerRecord, TriggerStated
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_planner.starts import Match, StartRequest, debounce_key, match, trigger_request
from signalbox_planner.store import definitions, starts
from signalbox_planner.store.definitions import KnownTrigger

SOURCE = "signalbox/planner"


async def match_events(work: UnitOfWork, events: Sequence[TriggerEvent], now: datetime) -> list[StartRequest]:
    """Judge these events by every trigger. Returns the plans to start; publishes `trigger.state` with the reasons."""
    requests: list[StartRequest] = []
    for known in await definitions.triggers(work.connection):
        judged = [(event, result) for event in events if (result := match(known.trigger, event)) is not None]
        if judged:
            requests += await _settle(work, known, judged, now)
    return requests


async def requests_of(connection: Connection, known: KnownTrigger, event: TriggerEvent) -> list[StartRequest]:
    """The plan of one event by one trigger, matched again; none when it no longer matches."""
    result = match(known.trigger, event)
    if result is None or result.outcome is not MatchOutcome.MATCHED:
        return []
    target = await definitions.target(connection, known.trigger)
    plan_id = plan_id_from_trigger(known.trigger.id, event.source, event.id)
    return [trigger_request(known.trigger, event, result, plan_id, target, known.revision)]


async def _settle(
    work: UnitOfWork, known: KnownTrigger, judged: Sequence[tuple[TriggerEvent, Match]], now: datetime
) -> list[StartRequest]:
    """Tell repeated events apart, debounce, and record every outcome of one trigger."""
    trigger = known.trigger
    matched = {(event.source, event.id): event for event, one in judged if one.outcome is MatchOutcome.MATCHED}
    seen = [(trigger.id, source, id, float(trigger.dedupe_seconds)) for source, id in sorted(matched)]
    fresh = await starts.take_events(work.connection, seen)
    requests: list[StartRequest] = []
    records: list[MatchRecord] = []
    taken: set[tuple[str, str]] = set()
    for event, result in judged:
        outcome, why = result.outcome, result.why
        key = event.source, event.id
        started: list[StartRequest] = []
        if outcome is MatchOutcome.MATCHED:
            if (trigger.id, *key) not in fresh or key in taken:
                outcome, why = MatchOutcome.REPEATED, "this event was taken before"
            elif trigger.debounce_seconds:
                outcome, why = MatchOutcome.DEBOUNCED, f"starts after {trigger.debounce_seconds:g} s without another"
                await starts.debounce(
                    work.connection, trigger.id, debounce_key(trigger, event), event.model_dump_json(),
                    trigger.debounce_seconds,
                )  # fmt: skip
            else:
                started = await requests_of(work.connection, known, event)
            taken.add(key)
        requests += started
        records.append(
            MatchRecord(
                event_id=event.id, event_source=event.source, event_type=event.type, outcome=outcome, why=why[:2000],
                plan_id=started[0].data.plan_id if started else None, at=now,
            )
        )  # fmt: skip
    await _publish(work, known, records, now)
    return requests


async def _publish(work: UnitOfWork, known: KnownTrigger, records: Sequence[MatchRecord], now: datetime) -> None:
    for first in range(0, len(records), MAX_ITEMS):
        page = tuple(records[first : first + MAX_ITEMS])
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
