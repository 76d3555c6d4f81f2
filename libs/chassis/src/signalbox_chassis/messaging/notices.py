"""The messages of the chassis itself: a message was parked, its later state, and the result of an operation."""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from signalbox_chassis.messaging.received import Received, Record
from signalbox_contracts.messages.dead_letters import (
    PARKED_BYTES,
    DeadLetterOutcome,
    DeadLetterParked,
    DeadLetterParkedData,
    DeadLetterState,
    DeadLetterStateData,
    ParkedHeader,
)
from signalbox_contracts.messages.operations import DeadLetterDrop, DeadLetterRedrive
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome

HEADERS = 50
HEADER_CHARACTERS = 1024
HEADERS_BYTES = 65_536
"""All headers together as JSON; with the value's start, the error and the key a notice stays below the cap."""


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
        key=_sayable(record.key.decode("utf-8", "replace"))[:HEADER_CHARACTERS] if record.key is not None else None,
        headers=_headers(record),
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


def parked_state(
    service: str, letter_id: UUID, state: DeadLetterOutcome, attempts: int, now: datetime, error: str | None = None
) -> DeadLetterState:
    """What became of a parked message after `attempts` attempts to handle it."""
    data = DeadLetterStateData(dead_letter_id=letter_id, service=service, state=state, attempts=attempts, error=error)
    return DeadLetterState.of(
        data, subject=letter_id, source=f"signalbox/{service}", time=now, id=f"{letter_id}:{state}:{attempts}"
    )


def _headers(record: Record) -> tuple[ParkedHeader, ...]:
    kept: list[ParkedHeader] = []
    room = HEADERS_BYTES
    for name, content in record.headers[:HEADERS]:
        header = _header(_sayable(name)[:255], content)
        room -= len(header.model_dump_json().encode())
        if room < 0:
            break
        kept.append(header)
    return tuple(kept)


def _header(name: str, content: bytes | None) -> ParkedHeader:
    if content is None:
        return ParkedHeader(name=name)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return ParkedHeader(name=name, base64=base64.b64encode(content).decode()[:HEADER_CHARACTERS])
    return ParkedHeader(name=name, text=text[:HEADER_CHARACTERS])


def _sayable(text: str) -> str:
    """Without NUL, which no reader of ours takes, and without lone surrogates, which JSON cannot carry."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


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
