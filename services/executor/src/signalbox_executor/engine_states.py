"""What is said of other things than single tasks, one pass each: engines, answers to operations, plans told again."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from opentelemetry import context as otel_context
from pydantic import JsonValue

from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_contracts.messages.states import EngineStated, OperationResult, OperationResultData, Outcome
from signalbox_executor import facts
from signalbox_executor.engines.capabilities import ChecksConnection
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable, Watched
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.lifecycle import worth_saying
from signalbox_executor.store import accept, engines, operations, states
from signalbox_executor.store.operations import Asked, Tell, Test
from signalbox_executor.store.rows import Task

log = logging.getLogger(__name__)
TEST_SECONDS = 10.0
"""Most time a test of a connection may take."""
TELL_PAGE = 1000
_NOBODY = "sb-connection-test"
"""A run key that no task has: an engine that answers says that it does not know it."""
_FIRST = UUID(int=0)


@dataclass
class Teller:
    """States engines, and answers the operations that were kept."""

    database: Database
    registry: EngineRegistry
    reachable: Callable[[], list[str]]

    async def engines(self) -> None:
        """State the engines that changed; a pass a second is at most one fact a second of each."""
        async with self.database.unit_of_work() as work:
            now: datetime = await work.connection.fetchval("SELECT now()")
            records = await states.engine_records(work.connection)
            changed = [record for record, said in records if worth_saying(record, said)]
            for record in changed:
                work.publish(
                    EngineStated.of(
                        record, subject=f"engine:{record.engine_id}", source=facts.SOURCE, time=now,
                        aggregateversion=record.version,
                    )
                )  # fmt: skip
            if changed:
                await states.keep_said(work.connection, changed)

    async def operations(self) -> bool:
        """Answer what was asked; True while a plan is being told."""
        await self.tests()
        return await self.plans()

    async def tests(self) -> None:
        """Try the connections somebody asked about, each by asking about a run that does not exist."""
        async with self.database.connection() as connection:
            asked = await operations.tests(connection, self.reachable())
        await asyncio.gather(*(self._test(test) for test in asked))

    async def _test(self, test: Test) -> None:
        began = time.monotonic()
        outcome, reason, details = await self._try(test)
        took = time.monotonic() - began
        async with self.database.unit_of_work() as work:
            if outcome is Outcome.DONE:
                await engines.answered(work.connection, [test.engine_id])
            if await operations.done(work.connection, test.asked.id):
                answered = {"engine": test.engine_id, "answered_in_ms": round(took * 1000, 1), **details}
                answer(work, test.asked, outcome, reason, answered if outcome is Outcome.DONE else None)

    async def _try(self, test: Test) -> tuple[Outcome, str, Mapping[str, JsonValue]]:
        adapter = self.registry.get(test.engine_id)
        if not test.known:
            return Outcome.REFUSED, f"there is no engine {test.engine_id}", {}
        if not test.reached or adapter is None:
            why = self.registry.why_not(test.engine_id)
            return Outcome.FAILED, f"no executor that runs can reach {test.engine_id}{f': {why}' if why else ''}", {}
        details: Mapping[str, JsonValue] = {}
        try:
            async with asyncio.timeout(TEST_SECONDS):
                if isinstance(adapter, ChecksConnection):
                    details = await adapter.test_connection()
                else:
                    await adapter.observe([Watched(_NOBODY, 1)])
        except EngineThrottled as throttled:
            return Outcome.DONE, f"it answers: {throttled}", {}
        except (EngineUnavailable, EngineRefused) as error:
            return Outcome.FAILED, str(error), {}
        except TimeoutError:
            return Outcome.FAILED, f"no answer within {TEST_SECONDS:g} s", {}
        return Outcome.DONE, "it answers", details

    async def plans(self) -> bool:
        """Say a page of the tasks of a plan again; True while there may be more."""
        async with self.database.unit_of_work() as work:
            tell = await operations.next_tell(work.connection)
            if tell is None:
                return False
            if tell.plan_ids:
                tasks = await accept.of_plan(work.connection, tell.plan_ids[0], after=tell.after, most=TELL_PAGE)
            else:
                tasks = await accept.of_all(work.connection, plan=tell.after_plan, after=tell.after, most=TELL_PAGE)
                if not tell.told:
                    await self._tell_engines(work, tell.asked.at)
            ids = [task.id for task in tasks]
            facts.publish_told(
                work, tasks, tell.asked.at, histories=await accept.histories(work.connection, ids),
                attempts=await accept.past_attempts(work.connection, ids),
            )  # fmt: skip
            await _advance(work, tell, tasks)
        return True

    async def _tell_engines(self, work: UnitOfWork, at: datetime) -> None:
        for record in await states.said(work.connection):
            work.publish(
                EngineStated.of(record, subject=f"engine:{record.engine_id}", source=facts.SOURCE, time=at, id=uuid4())
            )


async def _advance(work: UnitOfWork, tell: Tell, tasks: Sequence[Task]) -> None:
    """Keep how far the telling has come, or answer that it is done."""
    whole = len(tasks) < TELL_PAGE
    rest = tell.plan_ids[1:] if whole else tell.plan_ids
    if rest or not whole:
        after_plan, after = (_FIRST, _FIRST) if whole else (tasks[-1].plan_id, tasks[-1].id)
        await operations.told(
            work.connection, tell.asked.id, rest, after_plan=after_plan, after=after, count=len(tasks)
        )
    elif await operations.done(work.connection, tell.asked.id):
        count = tell.told + len(tasks)
        answer(work, tell.asked, Outcome.DONE, f"{count} tasks said again", {"tasks": count})


def answer(work: UnitOfWork, asked: Asked, outcome: Outcome, reason: str, details: JsonValue = None) -> None:
    """Say what became of an operation, in its own trace."""
    data = OperationResultData(
        operation_id=asked.id,
        target=asked.target,
        operation=asked.kind,
        outcome=outcome,
        reason=reason[:2000],
        details=details,
        took_seconds=max(0.0, (asked.at - asked.asked_at).total_seconds()),
    )
    token = otel_context.attach(telemetry.extract({"traceparent": asked.traceparent or ""}))
    try:
        work.publish(
            OperationResult.of(
                data, subject=asked.target, source=facts.SOURCE, time=asked.at, id=f"{asked.event_id}:executor"
            )
        )
    finally:
        otel_context.detach(token)
