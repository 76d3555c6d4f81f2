"""The messages the chassis itself sends: that something was parked, and what became of an operation."""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from signalbox_chassis.received import Received, Record
from signalbox_contracts.messages.dead_letters import PARKED_BYTES, DeadLetterParked, DeadLetterParkedData, ParkedHeader
from signalbox_contracts.messages.operations import DeadLetterDrop, DeadLetterRedrive
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome

HEADERS = 50
HEADER_CHARACTERS = 1024


def parked(
    service: str, letter_id: UUID, record: Record, received: Received[Any] | None, reason: str, now: datetime
) -> DeadLetterParked:
    """The notice that a record was parked: its place, the error, headers and the first 64 KiB."""
    value = record.value
    data = DeadLetterParkedData(
        dead_letter_id=letter_id,
        service=service,
        topic=record.topic.name,
        partition=record.partition,
        offset=record.offset,
        key=record.key.decode("utf-8", "replace")[:HEADER_CHARACTERS] if record.key is not None else None,
        headers=tuple(_header(name, content) for name, content in record.headers[:HEADERS]),
        event_id=received.event.id if received else None,
        event_type=received.event.type if received else None,
        error=reason,
        value_bytes=len(value or b""),
        value_start=base64.b64encode(value[:PARKED_BYTES]).decode() if value is not None else None,
        parked_at=now,
    )
    return DeadLetterParked.of(
        data, subject=letter_id, source=f"signalbox/{service}", time=now, id=f"{letter_id}:parked"
    )


def _header(name: str, content: bytes | None) -> ParkedHeader:
    if content is None:
        return ParkedHeader(name=name[:255])
    try:
        return ParkedHeader(name=name[:255], text=content.decode()[:HEADER_CHARACTERS])
    except UnicodeDecodeError:
        return ParkedHeader(name=name[:255], base64=base64.b64encode(content).decode()[:HEADER_CHARACTERS])


def answered(
    service: str, operation: DeadLetterRedrive | DeadLetterDrop, reason: str, done: bool, now: datetime
) -> OperationResult:
    """What became of an operation about parked messages."""
    data = OperationResultData(
        operation_id=operation.data.operation_id,
        target=f"dead_letters:{service}",
        operation=operation.type.removeprefix("signalbox.").removesuffix(".v1"),
        outcome=Outcome.DONE if done else Outcome.REFUSED,
        reason=reason,
    )
    return OperationResult.of(
        data, subject=f"dead_letters:{service}", source=f"signalbox/{service}", time=now, id=f"{operation.id}:{service}"
    )
