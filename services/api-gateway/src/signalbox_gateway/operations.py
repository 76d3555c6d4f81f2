"""Commands about existing things: stored as operations, published in the same transaction, answered later."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.envelope import Event
from signalbox_gateway.definitions.publish import SOURCE
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.store import operations as store

BATCH: Final = 200
"""Commands that are encoded before others get their turn."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `target` is `kind:id`; `subject` is the key of its message."""

    message: type[Event[Any]]
    target: str
    subject: str
    data: dict[str, Any]
    id: UUID = field(default_factory=uuid4)

    @property
    def row(self) -> store.OperationRow:
        name = self.message.type_name().removeprefix("signalbox.").removesuffix(".v1")
        return store.OperationRow(self.id, name, self.target)


async def ask(
    work: UnitOfWork, deps: Dependencies, principal: Principal, message: type[Event[Any]], *, target: str, reason: str,
    subject: str | None = None, id: UUID | None = None, at: datetime | None = None, **data: Any,
) -> UUID:  # fmt: skip
    """Request an operation and return its id. `target` is `kind:id`; `subject` is the message's key if it differs."""
    command = Command(message, target, subject or target, data, id or uuid4())
    await ask_all(work, deps, principal, [command], reason=reason, at=at)
    return command.id


async def ask_all(
    work: UnitOfWork, deps: Dependencies, principal: Principal, commands: Sequence[Command], *, reason: str,
    at: datetime | None = None,
) -> None:  # fmt: skip
    """Request operations for one reason. Others get their turn while thousands are encoded."""
    for start in range(0, len(commands), BATCH):
        batch = commands[start : start + BATCH]
        rows = [command.row for command in batch]
        await store.save(
            work.connection, rows, actor=principal.actor, reason=reason, trace_id=current_trace_id()
        )  # fmt: skip
        for command in batch:
            kind: Any = command.message.model_fields["data"].annotation
            body = kind(operation_id=command.id, actor=principal.actor, reason=reason, **command.data)
            work.publish(
                command.message.of(
                    body, subject=command.subject, source=SOURCE, time=at or deps.clock.now(), id=command.id
                )
            )
        await asyncio.sleep(0)
