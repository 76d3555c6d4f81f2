"""Commands about what exists: kept as operations, sent in the same transaction, answered later by their owners."""

from typing import Any
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.envelope import Event
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.traces import current_trace_id

_KEEP = "INSERT INTO operation (id, operation, target, actor, reason, trace_id) VALUES ($1, $2, $3, $4, $5, $6)"


async def ask(
    work: UnitOfWork, deps: Dependencies, principal: Principal, message: type[Event[Any]], *, target: str, reason: str,
    subject: str | None = None, id: UUID | None = None, **data: Any,
) -> UUID:  # fmt: skip
    """Ask for it; the id of the operation. `target` is `kind:id`; `subject` is the message's key, where it differs."""
    operation = id or uuid4()
    name = message.type_name().removeprefix("signalbox.").removesuffix(".v1")
    await work.connection.execute(
        _KEEP, operation, name, target, principal.actor, reason, current_trace_id()
    )  # fmt: skip
    kind: Any = message.model_fields["data"].annotation
    said = kind(operation_id=operation, actor=principal.actor, reason=reason, **data)
    work.publish(
        message.of(said, subject=subject or target, source=SOURCE, time=deps.clock.now(), id=operation)
    )  # fmt: skip
    return operation
