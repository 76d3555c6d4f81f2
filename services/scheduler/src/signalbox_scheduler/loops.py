"""The passes of the scheduler: fire what is due, run backfills, publish states, prune old ticks."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from opentelemetry.trace import Tracer
from prometheus_client import Counter, Histogram

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.isolation import note_fault
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.ids import tick_id
from signalbox_contracts.messages.operations import ScheduleBackfillData
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.messages.ticks import TickCause
from signalbox_scheduler import calendar, facts
from signalbox_scheduler.calendar import Due, Fire, Window
from signalbox_scheduler.settings import SchedulerSettings
from signalbox_scheduler.store import schedules, ticks
from signalbox_scheduler.store.schedules import Advance, DueSchedule, FreezeRow, ScheduleRow
from signalbox_scheduler.store.ticks import StoredTick, Tick

log = logging.getLogger(__name__)
BACKFILL_TICKS = 200
STORED_TICKS = 10_000
TRANSACTION_TICKS = 1000
"""After so many ticks a transaction takes no further schedule: a backlog of many must not outgrow its time limit."""
STATES = 200
_LATENESS = Histogram(
    "signalbox_schedule_lateness_seconds",
    "From the instant a tick should fire, with its jitter, to its row, of ticks that fired due or late",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)  # fmt: skip
_TICKS = Counter("signalbox_schedule_ticks_total", "Ticks by outcome and cause", ["outcome", "cause"])


@dataclass(frozen=True, slots=True)
class Decided:
    """What one pass decided about one schedule, as it is to be stored."""

    schedule: Schedule
    revision: int
    ticks: list[Tick]
    advance: Advance


@dataclass
class FrozenTimes:
    """When ticks were frozen, from the oldest tick that may still be decided until now.

    Computed when a missed tick first asks: a freeze that returns every few minutes has thousands of windows.
    """

    rows: Sequence[FreezeRow]
    now: datetime
    _windows: list[Window] | None = None

    def __iter__(self) -> Iterator[Window]:
        if self._windows is None:
            self._windows = []
            for row in self.rows:
                since, until = max(row.began_at, self.now - timedelta(days=30)), self.now + timedelta(seconds=1)
                self._windows += calendar.windows(row.freeze, since, until, row.lifted_at)
        return iter(self._windows)


@dataclass
class Scheduling:
    """One scheduler process. Any number of them share the work through row locks."""

    database: Database
    settings: SchedulerSettings
    tracer: Tracer
    wake_store: Callable[[], None]
    """Runs the next pass of `store` now."""
    wake_fire: Callable[[], None]
    _timer: asyncio.TimerHandle | None = None
    _parsed: dict[str, tuple[int, Schedule]] = field(default_factory=dict[str, tuple[int, Schedule]])

    async def store(self) -> bool:
        """Store the ticks that are due and on time, with one statement; True when there may be more.

        Nothing is computed here, so that however many are due at one instant are stored at it. `fire` publishes them.
        """
        async with self.database.unit_of_work() as work:
            now = await schedules.now(work.connection)
            projects = await self._frozen_projects(work, now)
            if projects is None:
                return False
            cause = TickCause.DUE.value
            late = await schedules.store_on_time(work.connection, STORED_TICKS, cause=cause, frozen=projects)
            seconds_to_next = await schedules.seconds_to_next(work.connection)
            if late:
                work.on_commit(self.wake_fire)
        for seconds in late:
            _LATENESS.observe(max(0.0, seconds))
        if self._timer:
            self._timer.cancel()
        if seconds_to_next is not None and seconds_to_next < self.settings.tick_poll_seconds:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds_to_next), self.wake_store)
        return len(late) == STORED_TICKS

    async def fire(self) -> bool:
        """Publish stored ticks and decide every schedule that is late or new; True when there may be more."""
        async with self.database.unit_of_work() as work:
            now = await schedules.now(work.connection)
            projects = await self._frozen_projects(work, now)
            if projects is None:
                return False
            batch = self.settings.tick_batch
            stored = await ticks.take_stored(work.connection, batch, frozen=projects)
            await self._publish_stored(work, stored, now)
            due = await schedules.take_due(work.connection, batch, frozen=projects)
            frozen = FrozenTimes(await schedules.freezes(work.connection) if due else [], now)
            decided: list[Decided] = []
            left = TRANSACTION_TICKS - len(stored)
            for one in due:
                if left <= 0:
                    break
                if result := await self._decide(work, one, now, frozen):
                    decided.append(result)
                    left -= len(result.ticks)
            await self._record(work, decided, now)
        more = any(len(one.ticks) > 1 for one in decided)
        return batch in (len(stored), len(due)) or more

    async def _publish_stored(self, work: UnitOfWork, stored: Sequence[StoredTick], now: datetime) -> None:
        """Publish ticks that `store` left. A schedule that cannot be read is stopped, alone, and keeps its tick."""
        published: list[UUID] = []
        for one in stored:
            try:
                schedule = self._schedule(one.tick.schedule_id, one.revision, one.definition)
            except ValueError as error:
                note_fault("stored ticks", error, one.tick.schedule_id)
                await schedules.fail(work.connection, one.tick.schedule_id, one.revision, facts.UNREADABLE)
                continue
            self._publish_one(work, one.tick, {schedule.id: (schedule, one.revision)}, now)
            published.append(one.tick.id)
        await ticks.mark_published(work.connection, published)

    async def backfill(self) -> bool:
        """Fire the next ticks of one backfill; True when there may be more."""
        async with self.database.unit_of_work() as work:
            now = await schedules.now(work.connection)
            projects = await self._frozen_projects(work, now)
            backfill = None if projects is None else await ticks.take_backfill(work.connection, frozen=projects)
            if backfill is None:
                return False
            data = ScheduleBackfillData.model_validate_json(backfill.command)
            try:
                schedule = await schedules.load(work.connection, backfill.schedule_id)
                reason = "the schedule was deleted meanwhile"
            except ValueError as error:
                note_fault("backfills", error, backfill.schedule_id)
                schedule, reason = None, "the schedule cannot be read"
            if schedule is None:
                await ticks.end_backfill(work.connection, backfill.id)
                facts.publish_answer(
                    work, data, backfill.schedule_id, Outcome.FAILED, reason, now, fired=backfill.fired
                )
                return True
            schedule = schedule.model_copy(update={"overlap": data.overlap})
            count = min(BACKFILL_TICKS, backfill.remaining)
            try:
                instants = _next_instants(schedule, backfill, data, count, now)
                for instant in instants:
                    schedule.event_date.of(instant)
            except (ValueError, OverflowError, ArithmeticError) as error:
                await ticks.end_backfill(work.connection, backfill.id)
                reason = f"its ticks cannot be computed: {error}"
                facts.publish_answer(work, data, schedule.id, Outcome.FAILED, reason, now, fired=backfill.fired)
                return True
            fired = await self._backfill(work, schedule, data, instants, now)
            present = len(instants) - fired
            if len(instants) == count and count < backfill.remaining:
                await ticks.move_backfill(
                    work.connection, backfill, instants[-1], newest_first=data.order == "newest", fired=fired,
                    present=present,
                )  # fmt: skip
                return True
            await ticks.end_backfill(work.connection, backfill.id)
            fired, present = backfill.fired + fired, backfill.present + present
            reason = f"{fired} ticks fired, {present} had fired before"
            facts.publish_answer(work, data, schedule.id, Outcome.DONE, reason, now, fired=fired, fired_before=present)
        return True

    async def _backfill(
        self,
        work: UnitOfWork,
        schedule: Schedule,
        data: ScheduleBackfillData,
        instants: Sequence[datetime],
        now: datetime,
    ) -> int:
        """Fire these instants as the backfill wants them; how many fired."""
        made = [_tick(schedule, Fire(instant, TickCause.BACKFILL)) for instant in instants]
        fired, known = 0, {schedule.id: (schedule, data.definitions_revision)}
        new: set[UUID] = set()
        if data.only != "failed":
            new = await ticks.insert(work.connection, made, backfill=True)
            fired += self._publish_new(work, made, new, known, now, concurrency=data.concurrency)
        wanted = frozenset(data.again)
        for tick in made:
            if tick.id not in new and (data.only == "all" or (data.only == "failed" and tick.due_at in wanted)):
                self._publish_one(
                    work, tick, known, now, again=data.operation_id, concurrency=data.concurrency
                )  # fmt: skip
                fired += 1
        return fired

    async def publish_states(self) -> bool:
        """Publish schedules that changed; True when there may be more."""
        async with self.database.unit_of_work() as work:
            rows = await schedules.take_unpublished(work.connection, STATES)
            now = await schedules.now(work.connection)
            for row in rows:
                facts.publish_state(work, row, _schedule_of(row), now)
        return len(rows) == STATES

    async def prune(self) -> bool:
        """Delete ticks past their retention, a batch a pass."""
        async with self.database.unit_of_work() as work:
            return await ticks.prune(work.connection, self.settings.tick_keep_days) > 0

    async def _frozen_projects(self, work: UnitOfWork, now: datetime) -> list[str] | None:
        """The projects whose ticks are held now; None for all. Every pass asks: no window of the past is computed."""
        rows = [row for row in await schedules.freezes(work.connection) if row.lifted_at is None]
        windows = [one for row in rows for one in calendar.windows(row.freeze, now, now + timedelta(seconds=1), None)]
        return calendar.frozen_projects(windows, now)

    async def _decide(
        self, work: UnitOfWork, due: DueSchedule, now: datetime, frozen: Iterable[Window]
    ) -> Decided | None:
        """The decisions about one schedule. One that cannot be computed is stopped with the reason, alone."""
        try:
            schedule = self._schedule(due.id, due.revision, due.definition)
        except ValueError as error:
            note_fault("due schedules", error, due.id)
            await schedules.fail(work.connection, due.id, due.revision, facts.UNREADABLE)
            return None
        try:
            if due.deleted:
                result = Due((), due.cursor_at, None, None)
            else:
                cursor_at = max(due.cursor_at, due.stored_due_at or due.cursor_at)
                result = calendar.decide(schedule, cursor_at, now, frozen)
            made = [_tick(schedule, decision) for decision in result.decisions]
            return Decided(schedule, due.revision, made, _advance(due, schedule, result))
        except (ValueError, OverflowError, ArithmeticError) as error:
            log.warning("schedule %s is stopped: its ticks cannot be computed: %s", due.id, error)
            await schedules.fail(work.connection, due.id, due.revision, f"its ticks cannot be computed: {error}")
            return None

    def _schedule(self, id: str, revision: int, definition: str) -> Schedule:
        known = self._parsed.get(id)
        if known is None or known[0] != revision:
            known = self._parsed[id] = revision, Schedule.model_validate_json(definition)
        return known[1]

    async def _record(self, work: UnitOfWork, decided: Sequence[Decided], now: datetime) -> None:
        made = [tick for one in decided for tick in one.ticks]
        known = {one.schedule.id: (one.schedule, one.revision) for one in decided}
        new = await ticks.insert(work.connection, made)
        self._publish_new(work, made, new, known, now)
        await schedules.advance(work.connection, [one.advance for one in decided])

    def _publish_new(
        self,
        work: UnitOfWork,
        made: Sequence[Tick],
        new: set[UUID],
        known: Mapping[str, tuple[Schedule, int]],
        now: datetime,
        *,
        concurrency: int = 1,
    ) -> int:
        """Publish those of these ticks that are new; how many those are."""
        for tick in made:
            if tick.id in new:
                self._publish_one(work, tick, known, now, concurrency=concurrency)
                if tick.cause in (TickCause.DUE.value, TickCause.LATE.value):
                    due = calendar.fire_at(known[tick.schedule_id][0], tick.due_at)
                    _LATENESS.observe(max(0.0, (now - due).total_seconds()))
        return len(new)

    def _publish_one(
        self,
        work: UnitOfWork,
        tick: Tick,
        known: Mapping[str, tuple[Schedule, int]],
        now: datetime,
        *,
        again: UUID | None = None,
        concurrency: int = 1,
    ) -> None:
        schedule, revision = known[tick.schedule_id]
        with self.tracer.start_as_current_span(
            "schedule tick", attributes={"schedule": tick.schedule_id, "due_at": tick.due_at.isoformat()}
        ):
            facts.publish_tick(work, tick, schedule, revision, now, again=again, concurrency=concurrency)
        _TICKS.labels(tick.outcome, tick.cause).inc()


def _next_instants(
    schedule: Schedule, backfill: ticks.Backfill, data: ScheduleBackfillData, count: int, now: datetime
) -> list[datetime]:
    """The next `count` instants of a backfill, in its order."""
    newest_first = data.order == "newest"
    wanted = backfill.remaining if newest_first else count
    found = [
        instant for instant in calendar.next_ticks(schedule, backfill.cursor_at, wanted)
        if instant <= min(backfill.until_at, now)
    ]  # fmt: skip
    return found[::-1][:count] if newest_first else found


def _schedule_of(row: ScheduleRow) -> Schedule | None:
    try:
        return Schedule.model_validate_json(row.definition)
    except ValueError as error:
        note_fault("schedule states", error, row.id)
        return None


def _tick(schedule: Schedule, decision: calendar.Decision) -> Tick:
    event_date = schedule.event_date.of(decision.due_at)
    common = tick_id(schedule.id, decision.due_at), schedule.id, decision.due_at, event_date
    if isinstance(decision, Fire):
        return Tick(*common, "FIRED", decision.cause.value)
    return Tick(*common, "SKIPPED", decision.reason.value, decision.detail)


def _advance(due: DueSchedule, schedule: Schedule, result: Due) -> Advance:
    stored = [due.stored_due_at] if due.stored_due_at is not None else []
    decided = [*stored, *(decision.due_at for decision in result.decisions)]
    fired = [*stored, *(decision.due_at for decision in result.decisions if isinstance(decision, Fire))]
    return Advance(
        due.id, result.cursor_at, result.next_due_at, result.next_fire_at, decided[-1] if decided else None,
        fired[-1] if fired else None, len(fired), len(decided) - len(fired), *_next_tick(schedule, result),
    )  # fmt: skip


def _next_tick(schedule: Schedule, result: Due) -> tuple[UUID | None, date | None, datetime | None]:
    """Id and event date of the next tick, and until when it fires without being decided again; none for no next."""
    if result.next_due_at is None or result.next_fire_at is None:
        return None, None, None
    on_time = None if schedule.paused else result.next_fire_at + calendar.on_time(schedule)
    return tick_id(schedule.id, result.next_due_at), schedule.event_date.of(result.next_due_at), on_time
