"""Commands about existing things: stored as operations, published in the same transaction, answered later."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.envelope import Event
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.store import operations as store


async def ask(
    work: UnitOfWork, deps: Dependencies, principal: Principal, message: type[Event[Any]], *, target: str, reason: str,
    subject: str | None = None, id: UUID | None = None, at: datetime | None = None, **data: Any,
) -> UUID:  # fmt: skip
    """Request an operation and return its id. `target` is `kind:id`; `subject` is the message's key if it differs."""
    operation = id or uuid4()
    name = message.type_name().removeprefix("signalbox.").removesuffix(".v1")
    await store.save(
        work.connection, operation, name, target=target, actor=principal.actor, reason=reason,
        trace_id=current_trace_id(),
    )  # fmt: skip
    kind: Any = message.model_fields["data"].annotation
    body = kind(operation_id=operation, actor=principal.actor, reason=reason, **data)
    work.publish(
        message.of(body, subject=subject or target, source=SOURCE, time=at or deps.clock.now(), id=operation)
    )  # fmt: skip
    return operation
