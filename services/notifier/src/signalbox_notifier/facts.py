"""What the notifier publishes: states of deliveries and incidents, answers to operations."""

from datetime import datetime

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


def publish_delivery(work: UnitOfWork, row: DeliveryRow, now: datetime) -> None:
    """Publish the present state of a delivery with its tries."""
    ended = row.state in ("sent", "dead", "dropped")
    record = DeliveryRecord(
        delivery_id=row.id, version=row.version, channel_id=row.channel_id, subscription_id=row.subscription_id,
        incident_id=row.incident_id, plan_id=row.plan_id, event_id=row.event_id, event_type=row.event_type,
        title=row.title, state=DeliveryState(row.state), attempts=row.attempts,
        tries=tuple(Try(number=n, at=at, state=DeliveryState(end), answer=text) for n, at, end, text in row.tries),
        next_try_at=None if ended else row.next_try_at, sent_at=row.sent_at, created_at=row.created_at,
    )  # fmt: skip
    work.publish(
        DeliveryStated.of(
            record, subject=row.id, source=SOURCE, time=now, aggregateversion=row.version, traceparent=row.traceparent
        )
    )


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
