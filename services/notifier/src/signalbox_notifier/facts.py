"""What the notifier publishes: states of deliveries and incidents, answers to operations."""

from collections.abc import Sequence
from datetime import datetime

from pydantic_core import to_json

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.ids import derived_id
from signalbox_contracts.messages.deliveries import DeliveryRecord, DeliveryState, DeliveryStated, Try
from signalbox_contracts.messages.states import (
    IncidentRecord,
    IncidentState,
    IncidentStated,
    OperationResult,
    OperationResultData,
    Outcome,
)
from signalbox_notifier.incidents import Incident
from signalbox_notifier.store.deliveries import DeliveryRow

SOURCE = "signalbox/notifier"
MAX_ANSWERS_BYTES = 100_000
"""Of a delivery's answers that are published whole, as JSON."""
CUT_ANSWER = 100
"""Characters of an answer beyond that."""


def publish_delivery(work: UnitOfWork, row: DeliveryRow, now: datetime) -> None:
    """Publish the present state of a delivery with its tries."""
    ended = row.state in ("sent", "dead", "dropped")
    record = DeliveryRecord(
        delivery_id=row.id, version=row.version, channel_id=row.channel_id, subscription_id=row.subscription_id,
        incident_id=row.incident_id, plan_id=row.plan_id, event_id=row.event_id, event_type=row.event_type,
        title=row.title, state=DeliveryState(row.state), attempts=row.attempts,
        tries=published_tries(row.tries),
        next_try_at=None if ended else row.next_try_at, sent_at=row.sent_at, created_at=row.created_at,
    )  # fmt: skip
    work.publish(
        DeliveryStated.of(
            record, subject=row.id, source=SOURCE, time=now, aggregateversion=row.version, traceparent=row.traceparent
        )
    )


def published_tries(tries: Sequence[tuple[int, datetime, str, str]]) -> tuple[Try, ...]:
    """The tries within a message: of many long answers the older ones are cut."""
    left = MAX_ANSWERS_BYTES
    kept: list[Try] = []
    for number, at, state, text in reversed(tries):
        size = len(to_json(text))
        answer = text if size <= left else text[:CUT_ANSWER]
        left -= min(size, left)
        kept.append(Try(number=number, at=at, state=DeliveryState(state), answer=answer))
    return tuple(reversed(kept))


def publish_incident(work: UnitOfWork, incident: Incident, now: datetime) -> None:
    """Publish the present state of an incident."""
    record = IncidentRecord(
        incident_id=incident.id, version=incident.version, state=IncidentState(incident.state.lower()),
        severity=incident.severity, title=incident.title, fingerprint=incident.fingerprint, plan_id=incident.plan_id,
        labels=incident.labels, occurrences=incident.occurrences, first_at=incident.first_at,
        last_at=incident.last_at, acknowledged_by=incident.acknowledged_by, snoozed_until_at=incident.snoozed_until,
        recovered_at=incident.recovered_at, note=incident.note,
    )  # fmt: skip
    work.publish(
        IncidentStated.of(
            record, subject=f"incident:{incident.id}", source=SOURCE, time=now, aggregateversion=incident.version,
            project=incident.project,
        )
    )  # fmt: skip


def publish_answer(
    work: UnitOfWork, operation_id: object, target: str, operation: str, outcome: Outcome, reason: str, now: datetime
) -> None:
    """Answer an operation."""
    result = OperationResultData.model_validate(
        {
            "operation_id": operation_id, "target": target, "operation": operation, "outcome": outcome,
            "reason": reason[:2000],
        }
    )  # fmt: skip
    work.publish(
        OperationResult.of(
            result, subject=f"operation:{operation_id}", source=SOURCE, time=now,
            id=derived_id(OperationResult.type_name(), str(operation_id)),
        )
    )  # fmt: skip
