"""Resolves selections: looks up on an engine what a plan names, page by page, and answers once all of it is found."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from opentelemetry import context as otel_context

from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.clock import transaction_time
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime import crash_points
from signalbox_contracts.messages.tasks import ResolvedItem, SelectionResolved, SelectionResolvedData
from signalbox_contracts.pages import packed
from signalbox_executor import facts
from signalbox_executor.engines.capabilities import ResolvesSelections
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.store import engines, selections
from signalbox_executor.store.selections import Lookup

log = logging.getLogger(__name__)
LEASE_SECONDS: Final = 60.0
PAGE_SECONDS: Final = 50.0
"""Most time one page may take: less than the lease, which each page renews."""
AT_ONCE: Final = 4
MAX_ITEMS: Final = 100_000
MAX_FAILURES: Final = 40
"""Failures in a row before a selection is refused: about twenty minutes without an answer."""
KEEP_DAYS: Final = 7.0


@dataclass
class SelectionResolver:
    """Claims and resolves selections of the engines that this worker reaches."""

    database: Database
    registry: EngineRegistry
    reachable: Callable[[], list[str]]
    worker_id: Callable[[], UUID]

    async def one_pass(self) -> bool:
        """Resolve some; True if there may be more."""
        async with self.database.unit_of_work() as work:
            claimed = await selections.claim(
                work.connection, self.worker_id(), self.reachable(), lease_seconds=LEASE_SECONDS, limit=AT_ONCE
            )
        await asyncio.gather(*(self._resolve(lookup) for lookup in claimed))
        return len(claimed) == AT_ONCE

    async def forget(self) -> None:
        async with self.database.connection() as connection:
            await selections.forget(connection, days=KEEP_DAYS)

    async def _resolve(self, lookup: Lookup) -> None:
        try:
            await self._look_up(lookup)
        except EngineRefused as refused:
            await self._finish(lookup, str(refused))
        except (EngineUnavailable, EngineThrottled, TimeoutError) as error:
            await self._try_later(lookup, str(error) or "no answer in time")
        except Exception as error:  # one selection that cannot be resolved stops no other
            log.exception("selection %s of plan %s failed", lookup.id, lookup.plan_id)
            await self._try_later(lookup, f"{type(error).__name__}: {error}")

    async def _look_up(self, lookup: Lookup) -> None:
        selection = lookup.selection
        if selection is None:
            await self._finish(lookup, f"the selection cannot be read: {lookup.fault}")
            return
        engine = self.registry.get(lookup.engine_id)
        if engine is None:
            raise EngineRefused(lookup.engine_id, "there is no such engine", field="engine")
        if not isinstance(engine, ResolvesSelections):
            raise EngineRefused(lookup.engine_id, "this kind of engine resolves no selections", field="engine")
        page, next_page, found = lookup.pages, lookup.next_page, lookup.items
        while page == 0 or next_page is not None:
            async with asyncio.timeout(PAGE_SECONDS):
                answer = await engine.resolve_selection(selection, next_page)
            page, next_page, found = page + 1, answer.next_page, found + len(answer.items)
            if found > MAX_ITEMS:
                raise EngineRefused(
                    lookup.engine_id, f"it names more than {MAX_ITEMS} items: narrow it", field="selection"
                )
            crash_points.point("executor.selection_page")
            async with self.database.unit_of_work() as work:
                if not await selections.keep_page(
                    work.connection, lookup, page, answer.items, next_page, lease_seconds=LEASE_SECONDS
                ):
                    return
        async with self.database.connection() as connection:
            await engines.answered(connection, [lookup.engine_id])
        await self._finish(lookup)

    async def _finish(self, lookup: Lookup, error: str | None = None) -> None:
        async with self.database.unit_of_work() as work:
            ended = await selections.finish(work.connection, lookup, error=error)
            if ended is not None:
                await publish(work, ended)

    async def _try_later(self, lookup: Lookup, reason: str) -> None:
        if lookup.failures >= MAX_FAILURES:
            await self._finish(lookup, f"no answer to it: {reason}")
            return
        async with self.database.unit_of_work() as work:
            await selections.again(work.connection, lookup, reason)
            await engines.failed(work.connection, lookup.engine_id, reason)


async def publish(work: UnitOfWork, lookup: Lookup, *, repeated: bool = False) -> None:
    """`selection.resolved`, each item once, in pages; under fresh ids when it was published before."""
    found = [] if lookup.error else _unique(await selections.pages(work.connection, lookup.id))
    parts: list[Sequence[ResolvedItem]] = list(packed(found)) if found else [()]
    now = await transaction_time(work.connection)
    token = otel_context.attach(telemetry.extract({"traceparent": lookup.traceparent or ""}))
    try:
        for number, items in enumerate(parts, 1):
            data = SelectionResolvedData(
                plan_id=lookup.plan_id, selection_id=lookup.id, round=lookup.round, page=number, pages=len(parts),
                items=tuple(items), error=lookup.error,
            )  # fmt: skip
            work.publish(
                SelectionResolved.of(
                    data, subject=lookup.plan_id, source=facts.SOURCE, time=now, aggregateversion=lookup.round,
                    id=uuid4() if repeated else None,
                )
            )  # fmt: skip
    finally:
        otel_context.detach(token)


def _unique(pages: Sequence[Sequence[ResolvedItem]]) -> list[ResolvedItem]:
    """A list that moved while it was read may show a job twice."""
    return list({item.key: item for page in pages for item in page}.values())
