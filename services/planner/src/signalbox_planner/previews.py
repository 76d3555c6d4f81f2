"""Plans from selections: looked up on engines, previewed, applied or refused, and then started.

Every function takes the locked plan and returns the plan it became; the caller saves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.selection import (
    AirflowRuns,
    EventFiles,
    LookUp,
    OozieActions,
    RerunRules,
    RoutedActions,
    Selection,
)
from signalbox_contracts.ids import selection_id, task_id
from signalbox_contracts.messages.plans import Counts, Decision, ItemRecord, PlanItems, PlanItemsData
from signalbox_contracts.messages.requests import KnownMoves, PlanApplyData, RunSelection
from signalbox_contracts.messages.task_commands import SelectionResolve, SelectionResolveData
from signalbox_contracts.pages import packed
from signalbox_contracts.states import PlanState
from signalbox_planner import facts, lifecycle
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.expand import RequestRefused
from signalbox_planner.lifecycle import CommandRefused
from signalbox_planner.moved_dates import (
    Found,
    MovedDate,
    decide_moved,
    describe_moves,
    engine_moves,
    found_runs,
    look_ups,
    moved_date,
    moves_difference,
    used_moves,
)
from signalbox_planner.plan import Item, Plan, PreviewState
from signalbox_planner.preview import counts, describe, difference, in_order, preview_hash
from signalbox_planner.rerun_decisions import DecidedItem, decide, objects_of
from signalbox_planner.store import items, previews
from signalbox_planner.store.previews import FIRST_FOLLOWING, EngineLookUp, Part

VALID_HOURS: Final = 24
MAX_ITEMS: Final = 100_000


async def request(work: UnitOfWork, plan: Plan, what: RunSelection, now: datetime, *, preview: bool) -> Plan:
    """Ask for what the selections name. Raises `RequestRefused`."""
    for number, selection in enumerate(what.selections):
        if isinstance(selection.selection, EventFiles):
            raise RequestRefused(f"selections[{number}]: event files are not selected by a plan yet")
        if selection.stage:
            raise RequestRefused(
                f"selections[{number}].stage {selection.stage}: stages are not built yet, 0 is allowed"
            )
    spec = plan.spec.model_copy(
        update={
            "preview": PreviewState(wanted=preview), "retries": what.retries, "time_limits": what.time_limits,
        }
    )  # fmt: skip
    resolving = lifecycle.transition(replace(plan, spec=spec), PlanState.RESOLVING, now)
    for number, selection in enumerate(what.selections):
        look_up = EngineLookUp(
            engine=selection.engine, selection=_routed(selection.selection, selection.engine, what.known)
        )
        await previews.ask(work.connection, plan.id, number, look_up, selection_id(plan.id, str(number), 0), 0)
    await _publish_requests(work, resolving, now)
    return resolving


def _routed(selection: Selection | LookUp, engine: str, known: KnownMoves) -> LookUp:
    """The selection with the moves of its engine, where it may find what moved."""
    if not isinstance(selection, OozieActions):
        return selection
    written = selection.model_dump(exclude={"moves", "denied_engines"})
    return RoutedActions.model_validate(
        {**written, "moves": engine_moves(known, engine), "denied_engines": known.denied_engines}
    )


async def ask_again(work: UnitOfWork, plan: Plan, now: datetime) -> None:
    """The executor gave no answer for long: ask again, under fresh event ids."""
    await previews.count_query(work.connection, plan.id)
    await _publish_requests(work, plan, now)


async def _publish_requests(work: UnitOfWork, plan: Plan, now: datetime) -> None:
    with facts.in_trace(plan):
        for part in await previews.parts(work.connection, plan.id):
            if part.complete:
                continue
            data = SelectionResolveData(
                plan_id=plan.id, selection_id=part.selection_id, round=part.round, engine=part.selection.engine,
                definitions_revision=plan.definitions_revision, selection=part.selection.selection,
            )  # fmt: skip
            work.publish(SelectionResolve.of(data, subject=plan.id, source=facts.SOURCE, time=now, id=uuid4()))


async def resolved(work: UnitOfWork, dispatcher: Dispatcher, plan: Plan, now: datetime) -> Plan:
    """Some of the answer is here. With all of it: the preview, or the start, or the refusal."""
    if plan.state is not PlanState.RESOLVING or plan.spec.preview is None:
        return plan
    parts = await previews.parts(work.connection, plan.id)
    if not all(part.complete for part in parts):
        return plan
    if error := next((part.error for part in parts if part.error and not part.follows), None):
        return _answered(lifecycle.refuse(plan, now, error))
    if not any(part.follows for part in parts) and await _follow(work, plan, parts, now):
        return plan
    decided = await _decide(work, plan, parts, now)
    await previews.forget_pages(work.connection, plan.id)
    if not decided:
        return _answered(lifecycle.refuse(plan, now, "the selection finds nothing"))
    if len(decided) > MAX_ITEMS:
        return _answered(lifecycle.refuse(plan, now, f"{len(decided)} items: at most {MAX_ITEMS} are allowed"))
    if plan.spec.preview.round:
        return await _applied(work, dispatcher, plan, decided, now)
    await previews.store_decided(work.connection, plan.id, decided)
    previewed = await _previewed(work, plan, decided, now)
    if plan.spec.preview.wanted:
        expires_at = now + timedelta(hours=VALID_HOURS)
        state = plan.spec.preview.model_copy(update={"hash": preview_hash(decided), "expires_at": expires_at})
        return lifecycle.transition(_with_preview(previewed, state), PlanState.PREVIEWED, now)
    return await _start(work, dispatcher, previewed, decided, now)


async def _follow(work: UnitOfWork, plan: Plan, parts: Sequence[Part], now: datetime) -> bool:
    """Look up the runs of the dates that moved to Airflow; False if none did."""
    moved = [
        date
        for part in parts
        if isinstance(part.selection.selection, RoutedActions) and part.selection.selection.moves
        for item in await previews.found(work.connection, part)
        if (date := moved_date(item, part.selection.selection)) is not None
    ]
    wanted = look_ups(moved)
    for number, (engine, selection) in enumerate(wanted, FIRST_FOLLOWING):
        look_up, round = EngineLookUp(engine=engine, selection=selection), parts[0].round
        await previews.ask(work.connection, plan.id, number, look_up, selection_id(plan.id, str(number), round), round)
    if wanted:
        await _publish_requests(work, plan, now)
    return bool(wanted)


async def _decide(work: UnitOfWork, plan: Plan, parts: Sequence[Part], now: datetime) -> list[DecidedItem]:
    """What is decided about everything that was found; what two selections found is decided once."""
    several = len({part.selection.engine for part in parts if not part.follows}) > 1
    found: dict[str, DecidedItem] = {}
    runs: dict[tuple[str, str], Found] = {}
    for part in parts:
        if isinstance(part.selection.selection, AirflowRuns):
            items_found = await previews.found(work.connection, part)
            runs |= found_runs(part.selection.engine, part.selection.selection, items_found, part.error)
    for part in parts:
        engine, selection = part.selection.engine, part.selection.selection
        if isinstance(selection, EventFiles | AirflowRuns):
            continue
        resolved_items = await previews.found(work.connection, part)
        if isinstance(selection, RoutedActions) and selection.moves:
            dates = [date for item in resolved_items if (date := moved_date(item, selection)) is not None]
            for one in await _decide_moved(work, plan, dates, runs, selection.rerun, now, oozie=engine):
                found.setdefault(one.key, one)
            moved = {date.item.key for date in dates}
            resolved_items = [item for item in resolved_items if item.key not in moved]
        names = {name for item in resolved_items for name in objects_of(item)}
        owners = await previews.owners(work.connection, engine, names, plan.id)
        for item in resolved_items:
            owner = next((owners[name] for name in objects_of(item) if name in owners), None)
            one = decide(engine, item, selection.rerun, owner)
            key = f"{engine}/{item.key}"[:255] if several else item.key
            found.setdefault(key, replace(one, key=key))
    return in_order(found.values())


async def _decide_moved(
    work: UnitOfWork,
    plan: Plan,
    dates: Sequence[MovedDate],
    runs: Mapping[tuple[str, str], Found],
    rules: RerunRules,
    now: datetime,
    *,
    oozie: str,
) -> list[DecidedItem]:
    owners: dict[tuple[str, str], UUID] = {}
    for engine in sorted({date.move.airflow_engine for date in dates}):
        names = {date.name for date in dates if date.move.airflow_engine == engine}
        taken = await previews.owners(work.connection, engine, names, plan.id)
        owners |= {(engine, name): owner for name, owner in taken.items()}
    return [
        decide_moved(one, runs.get(at, "it was not looked up"), rules, owners.get(at), now, oozie=oozie)
        for one in dates
        for at in [(one.move.airflow_engine, one.name)]
    ]


async def _previewed(work: UnitOfWork, plan: Plan, decided: Sequence[DecidedItem], now: datetime) -> Plan:
    """The plan with its decided items: stored, counted and published, page by page."""
    rows = [
        Item(
            plan.id, position, item.key, item.engine, item.work.model_dump_json() if item.work else "{}",
            state=None if item.decision is Decision.RUN else "SKIPPED",
            reason=None if item.decision is Decision.RUN else item.reason,
        )
        for position, item in enumerate(decided)
    ]  # fmt: skip
    await items.store(work.connection, rows)
    records = [_record(plan, position, item) for position, item in enumerate(decided)]
    pages = list(packed(records))
    with facts.in_trace(plan):
        for number, page in enumerate(pages, 1):
            data = PlanItemsData(plan_id=plan.id, round=0, version=1, page=number, pages=len(pages), items=page)
            work.publish(PlanItems.of(data, subject=plan.id, source=facts.SOURCE, time=now, aggregateversion=1))
    number = counts(decided)
    total = Counts(
        total=len(decided), waiting=number[Decision.RUN], skipped=number[Decision.SKIP] + number[Decision.BLOCKED]
    )
    intake = replace(plan.intake, pages=facts.pages_of(len(decided)), pages_published=len(pages))
    dispatch = replace(plan.dispatch, end_position=len(decided))
    return replace(plan, counts=total, intake=intake, dispatch=dispatch)


def _record(plan: Plan, position: int, item: DecidedItem) -> ItemRecord:
    return ItemRecord(
        key=item.key, position=position, decision=item.decision, reason=item.reason, engine=item.engine,
        task_id=task_id(plan.id, item.key), expected=item.expected, deletes=item.deletes, owner_plan=item.owner_plan,
    )  # fmt: skip


def check_apply(plan: Plan, data: PlanApplyData) -> None:
    """Refuse (`CommandRefused`) what is not the application of this plan's preview."""
    preview = plan.spec.preview
    if plan.state is not PlanState.PREVIEWED or preview is None:
        raise CommandRefused(f"a plan that is {plan.state} has no preview to apply")
    if data.preview_hash != preview.hash:
        raise CommandRefused(
            f"preview_hash {data.preview_hash[:12]}… is not that of this plan's preview, {str(preview.hash)[:12]}…"
        )


async def apply(work: UnitOfWork, plan: Plan, data: PlanApplyData, now: datetime) -> Plan:
    """Look everything up once more, to start exactly what was shown. Raises `CommandRefused`."""
    check_apply(plan, data)
    preview = plan.spec.preview
    assert preview is not None
    if preview.expires_at is not None and now > preview.expires_at:
        reason = f"the preview expired at {preview.expires_at:%Y-%m-%dT%H:%M:%SZ}: preview again"
        return lifecycle.answer(lifecycle.refuse(plan, now, reason), data.operation_id)
    if not plan.counts.waiting:
        raise CommandRefused("nothing would run: every item is skipped or blocked")
    decided = await previews.decided(work.connection, plan.id)
    deleted = sum(len(item.deletes) for item in decided)
    if deleted and not data.confirm_deletions:
        raise CommandRefused(f"confirm_deletions is needed: applying deletes the {deleted} directories previewed")
    parts = [part for part in await previews.parts(work.connection, plan.id) if not part.follows]
    used = [move for part in parts for move in _moves_of(part)]
    if changed := moves_difference(used_moves(decided), used, data.known.moves):
        state = preview.model_copy(update={"difference": {"counts": {"moves": len(changed)}, "moves": changed}})
        refused = lifecycle.refuse(_with_preview(plan, state), now, describe_moves(changed))
        return lifecycle.answer(refused, data.operation_id)
    state = preview.model_copy(update={"round": preview.round + 1, "apply_operation": data.operation_id})
    again = lifecycle.transition(
        _with_preview(plan, state), PlanState.RESOLVING, now, actor=data.actor, reason=data.reason
    )
    await previews.forget_following(work.connection, plan.id)
    for part in parts:
        id = selection_id(plan.id, str(part.number), state.round)
        engine = part.selection.engine
        look_up = EngineLookUp(engine=engine, selection=_routed(part.selection.selection, engine, data.known))
        await previews.ask(work.connection, plan.id, part.number, look_up, id, state.round)
    await _publish_requests(work, again, now)
    return again


def _moves_of(part: Part) -> Sequence[Move]:
    selection = part.selection.selection
    return selection.moves if isinstance(selection, RoutedActions) else ()


def reject(plan: Plan, operation: UUID, actor: str, reason: str, now: datetime) -> Plan:
    """A person does not want what the preview shows. Raises `CommandRefused`."""
    if plan.state is not PlanState.PREVIEWED:
        raise CommandRefused(f"a plan that is {plan.state} cannot be rejected")
    return lifecycle.answer(lifecycle.refuse(plan, now, f"rejected by {actor}: {reason}"), operation)


async def _applied(
    work: UnitOfWork, dispatcher: Dispatcher, plan: Plan, decided: Sequence[DecidedItem], now: datetime
) -> Plan:
    """Start what was previewed if nothing is different; otherwise refuse with exactly the difference."""
    found = difference(await previews.decided(work.connection, plan.id), decided)
    if found is None:
        return await _start(work, dispatcher, plan, decided, now)
    assert plan.spec.preview is not None
    state = plan.spec.preview.model_copy(update={"difference": found})
    return _answered(lifecycle.refuse(_with_preview(plan, state), now, describe(found)))


async def _start(
    work: UnitOfWork, dispatcher: Dispatcher, plan: Plan, decided: Sequence[DecidedItem], now: datetime
) -> Plan:
    """Occupy what runs and start, unless another plan was first."""
    running = [item for item in decided if item.decision is Decision.RUN]
    if not running:
        return _answered(lifecycle.refuse(plan, now, "nothing would run: every item is skipped or blocked"))
    objects = [(item.engine, name) for item in running for name in item.objects]
    taken = await previews.occupy(work.connection, plan.id, objects)
    if taken:
        names = ", ".join(name for _, name in taken[:10])
        return _answered(lifecycle.refuse(plan, now, f"another plan was first to rerun {names}"))
    return _answered(await dispatcher.start(work, plan, now))


def _with_preview(plan: Plan, state: PreviewState) -> Plan:
    return replace(plan, spec=plan.spec.model_copy(update={"preview": state}))


def _answered(plan: Plan) -> Plan:
    """The operation that applied the preview is answered by the next fact."""
    preview = plan.spec.preview
    if preview is None or preview.apply_operation is None:
        return plan
    state = preview.model_copy(update={"apply_operation": None})
    return lifecycle.answer(_with_preview(plan, state), preview.apply_operation)
