"""Probes engines: for `engine.test`, and where a breaker is open and no task waits for the engine."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opentelemetry import context as otel_context
from pydantic import JsonValue
from pydantic_core import to_json

from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.isolation import describe_fault, storable
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.pages import ENVELOPE_BYTES
from signalbox_contracts.wire import MAX_MESSAGE_BYTES
from signalbox_executor import facts
from signalbox_executor.engines.capabilities import ChecksConnection
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable, Watched
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.store import engines, operations
from signalbox_executor.store.operations import ConnectionTest, Operation

TEST_SECONDS = 10.0
"""Most time a test of a connection may take."""
IDLE_SECONDS = 5.0
"""How long a probe of an idle engine is overdue before it is made: until then a start or a poll makes it."""
_NO_RUN = "sb-connection-test"
"""A run key that no task has: an engine that answers says that it does not know it."""


@dataclass
class ConnectionTests:
    """Answers `engine.test`, and closes the breaker of an engine that answers again while nothing waits for it."""

    database: Database
    registry: EngineRegistry
    reachable: Callable[[], list[str]]

    async def one_pass(self) -> None:
        """Test the connections of the operations that were kept. One that fails keeps no other from its answer."""
        async with self.database.connection() as connection:
            due = await operations.tests(connection, self.reachable())
            idle = await engines.take_idle_probes(connection, self.reachable(), idle_seconds=IDLE_SECONDS)
        await asyncio.gather(*(self._test(test) for test in due), *(self._probe_idle(engine_id) for engine_id in idle))

    async def _probe_idle(self, engine_id: str) -> None:
        outcome, reason, _ = await self._probe(engine_id)
        async with self.database.unit_of_work() as work:
            if outcome is Outcome.DONE:
                await engines.answered(work.connection, [engine_id])
            else:
                await engines.failed(work.connection, engine_id, reason)

    async def _test(self, test: ConnectionTest) -> None:
        began = time.monotonic()
        outcome, reason, details = await self._try(test)
        took = time.monotonic() - began
        async with self.database.unit_of_work() as work:
            if outcome is Outcome.DONE:
                await engines.answered(work.connection, [test.engine_id])
            if await operations.done(work.connection, test.operation.id):
                answered = {"engine": test.engine_id, "answered_in_ms": round(took * 1000, 1), **details}
                answer(work, test.operation, outcome, reason, answered if outcome is Outcome.DONE else None)

    async def _try(self, test: ConnectionTest) -> tuple[Outcome, str, Mapping[str, JsonValue]]:
        if not test.known:
            return Outcome.REFUSED, f"there is no engine {test.engine_id}", {}
        return await self._probe(test.engine_id, reached=test.reached)

    async def _probe(self, engine_id: str, *, reached: bool = True) -> tuple[Outcome, str, Mapping[str, JsonValue]]:
        adapter = self.registry.get(engine_id)
        if not reached or adapter is None:
            why = self.registry.why_not(engine_id)
            return Outcome.FAILED, f"no executor that runs can reach {engine_id}{f': {why}' if why else ''}", {}
        details: Mapping[str, JsonValue] = {}
        try:
            async with asyncio.timeout(TEST_SECONDS):
                if isinstance(adapter, ChecksConnection):
                    details = await adapter.test_connection()
                else:
                    await adapter.observe([Watched(_NO_RUN, 1)])
        except EngineThrottled as throttled:
            return Outcome.DONE, f"it answers: {throttled}", {}
        except (EngineUnavailable, EngineRefused) as error:
            return Outcome.FAILED, str(error), {}
        except TimeoutError:
            return Outcome.FAILED, f"no answer within {TEST_SECONDS:g} s", {}
        except Exception as error:  # one engine that cannot be tested keeps no other from its answer
            return Outcome.FAILED, f"its answer cannot be understood: {describe_fault(error)}", {}
        return Outcome.DONE, "it answers", details


def answer(work: UnitOfWork, operation: Operation, outcome: Outcome, reason: str, details: JsonValue = None) -> None:
    """Publish the result of an operation, in its own trace. Details that no message can carry are left out."""
    details = _readable(details)
    if (size := len(to_json(details))) > MAX_MESSAGE_BYTES - ENVELOPE_BYTES:
        reason, details = f"{reason[:1900]}; its details take {size} bytes and are left out", None
    data = OperationResultData(
        operation_id=operation.id,
        target=operation.target,
        operation=operation.kind,
        outcome=outcome,
        reason=storable(reason)[:2000],
        details=details,
        took_seconds=max(0.0, (operation.at - operation.requested_at).total_seconds()),
    )
    token = otel_context.attach(telemetry.extract({"traceparent": operation.traceparent or ""}))
    try:
        work.publish(
            OperationResult.of(
                data,
                subject=operation.target,
                source=facts.SOURCE,
                time=operation.at,
                id=f"{operation.event_id}:executor",
            )
        )
    finally:
        otel_context.detach(token)


def _readable(value: JsonValue) -> JsonValue:
    """The same JSON with texts that every reader takes: no reader takes a message with a zero character in it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): _readable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_readable(part) for part in value]
    return value
