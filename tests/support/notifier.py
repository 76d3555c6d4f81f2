"""A place for notifiers: a schema and topics of their own, and receivers that behave as a test says."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.definitions.channel import Channel, Subscription
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData
from signalbox_contracts.messages.plans import Counts, Expected, PlanRecord, PlanStated, PlanTransition
from signalbox_contracts.states import PlanState
from signalbox_contracts.topics import topic
from signalbox_notifier import MIGRATIONS
from signalbox_notifier.app import notifier
from signalbox_notifier.settings import NotifierSettings
from support.executor import Stand

TOPICS = tuple(
    topic(name)
    for name in (
        "definitions.v1", "operations.v1", "plans.v1", "tasks.v1", "states.v1", "deliveries.v1", "dead-letters.v1",
    )
)  # fmt: skip
GATEWAY = "signalbox/api-gateway"
_ENDS = {PlanState.SUCCEEDED, PlanState.FAILED, PlanState.CANCELLED}


@dataclass
class Receiver:
    """An HTTP server that keeps what it got and answers by `answers`, the last one for ever."""

    answers: list[Callable[[web.Request], Any]] = field(default_factory=list[Callable[[web.Request], Any]])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        made = answer(request)
        return await made if asyncio.iscoroutine(made) else made


def status(code: int, **headers: str) -> Callable[[web.Request], web.Response]:
    return lambda _: web.Response(status=code, headers=headers, text=f"answer {code}")


@asynccontextmanager
async def receiver(*answers: Callable[[web.Request], Any]) -> AsyncGenerator[Receiver]:
    made = Receiver(list(answers) or [status(200)])
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class Notifiers(Stand):
    """Notifiers on one schema."""

    @asynccontextmanager
    async def notifying(self, **changes: Any) -> AsyncGenerator[Service]:
        values: dict[str, Any] = {
            "kafka_bootstrap": self.bootstrap, "database_url": SecretStr(self.url), "database_schema": self.schema,
            "topic_prefix": self.prefix, "group_prefix": self.prefix, "session_timeout_seconds": 3.0,
            "drain_seconds": 5.0, "egress_allow": "127.0.0.1", **changes,
        }  # fmt: skip
        service = notifier(NotifierSettings(**values))
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    async def define(self, *definitions: Channel | Subscription, revision: int = 1) -> None:
        await self.publish(
            *(
                DefinitionSnapshot.of(
                    DefinitionSnapshotData(kind=one.kind, id=one.id, revision=revision, definition=one),
                    subject=f"{one.kind}:{one.id}", source=GATEWAY, time=datetime.now(UTC),
                    aggregateversion=revision,
                )
                for one in definitions
            )
        )  # fmt: skip

    async def publish(self, *events: Any) -> None:
        """Write messages as their owners do."""
        await self.send_all(events)


async def make_notifiers(admin_url: str, bootstrap: str, folder: Path) -> Notifiers:
    name = f"n{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    return Notifiers(url, name, bootstrap, "", folder)


def webhook(id: str, url: str, **changes: Any) -> Channel:
    destination = {"kind": "webhook", "url": url}
    values = {"id": id, "name": id, "destination": destination, "messages_per_minute": 10_000, **changes}
    return Channel.model_validate(values)


def subscription(id: str, channel: str, *events: str, **changes: Any) -> Subscription:
    return Subscription.model_validate({"id": id, "name": id, "channel": channel, "events": events, **changes})


def plan_state(
    *states: str, plan: uuid.UUID | None = None, reason: str = "", target: str = "job:nightly", **changes: Any
) -> PlanStated:
    """A plan's fact with these transitions, numbered from 1 on."""
    now = datetime.now(UTC)
    id = plan or uuid.uuid4()
    made = tuple(
        PlanTransition(
            version=number, state=PlanState(state), at=now, reason=reason if number == len(states) else ""
        )
        for number, state in enumerate(states, 1)
    )  # fmt: skip
    last = PlanState(states[-1])
    ended = last in _ENDS
    values: dict[str, Any] = {
        "plan_id": id, "version": len(states), "state": last, "name": "Nightly", "actor": "user:ann", "target": target,
        "counts": Counts(total=1, failed=1) if last is PlanState.FAILED else Counts(total=1, waiting=1),
        "created_at": now, "started_at": now if len(states) > 1 else None, "ended_at": now if ended else None,
        "expected": Expected(items=1, tasks=1, item_pages=1, task_versions=1) if ended else None,
        "transitions": made, **changes,
    }  # fmt: skip
    record = PlanRecord(**values)
    return PlanStated.of(record, subject=id, source="signalbox/planner", time=now, aggregateversion=record.version)
