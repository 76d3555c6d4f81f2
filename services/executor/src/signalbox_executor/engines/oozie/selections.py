"""Looks up what a selection names: workflows by id or filter, actions of coordinators and of bundles, page by page.

It says what is there and in which state. What is rerun is decided by the planner, from these values alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal

from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.selection import LookUp, OozieActions, OozieWorkflows, RerunRules, RoutedActions
from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_executor.engines.capabilities import SelectionPage
from signalbox_executor.engines.oozie.answers import (
    CoordinatorActionAnswer,
    CoordinatorAnswer,
    ListAnswer,
    WorkflowAnswer,
    entries,
)
from signalbox_executor.engines.oozie.commands import equivalent
from signalbox_executor.engines.oozie.handles import JobType, parse_id
from signalbox_executor.engines.oozie.nominal_times import (
    nominal_times,
    times_beyond_end,
    why_unknown,
    zone_of,
)
from signalbox_executor.engines.oozie.outputs import DryRun, Outputs, OutputsUnknown
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import OozieServer, as_filter
from signalbox_executor.engines.oozie.skip_list import NodesRefused, Scope, check_work_is_left, skip_nodes
from signalbox_executor.engines.oozie.states import (
    ACTION_FAILURES,
    WORKFLOW_ENDS,
    action_phase,
    workflow_phase,
)
from signalbox_executor.engines.port import EngineRefused, bounded

PAGE_ITEMS: Final = 200
MAX_COMMAND: Final = 1000
STATES: Final = ("PREP", "RUNNING", "SUSPENDED", "SUCCEEDED", "FAILED", "KILLED")
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "failed": ("FAILED", "KILLED"),
    "killed": ("KILLED",),
    "succeeded": ("SUCCEEDED",),
    "running": ("RUNNING",),
    "suspended": ("SUSPENDED",),
    "submitted": ("PREP",),
}
MINUTE: Final = "%Y-%m-%dT%H:%MZ"


class Resolver:
    """Resolves selections on one server."""

    def __init__(self, server: OozieServer, outputs: Outputs) -> None:
        self._server = server
        self._outputs = outputs
        self._name = server.rest.name

    async def resolve(self, selection: LookUp, page: str | None = None) -> SelectionPage:
        """One page of at most 200 items. Raises `EngineRefused` with the field and the item that is wrong."""
        position = _position(page)
        try:
            if isinstance(selection, OozieWorkflows):
                return await self._workflows(selection, position)
            if isinstance(selection, OozieActions):
                return await self._actions(selection, position)
        except OozieRefused as error:
            raise EngineRefused(self._name, bounded(str(error)), field="selection") from error
        raise self._wrong("selection.kind", selection.kind, "an Oozie server has workflows and actions")

    # workflows

    async def _workflows(self, selection: OozieWorkflows, position: Mapping[str, Any]) -> SelectionPage:
        offset = int(position.get("offset", 0))
        if selection.ids:
            ids = list(dict.fromkeys(selection.ids))
            for id in ids:
                self._expect_type(id, "workflow", "selection.ids")
            jobs = await self._server.workflows(ids)
            if missing := [id for id in ids if id not in jobs]:
                raise self._wrong("selection.ids", ", ".join(missing[:10]), "Oozie does not know it")
            found, total = [job for job in jobs.values() if _within(job, selection)], len(ids)
        else:
            answer = await self._list(selection, offset + 1)
            jobs_found = entries(WorkflowAnswer, answer.workflows)
            found, total = [job for job in jobs_found if _within(job, selection)], answer.total
            offset += len(answer.workflows)
            total = total if answer.workflows else offset
        items = [await self._workflow_item(job, selection.rerun) for job in found]
        more = not selection.ids and offset < total
        return SelectionPage(tuple(items), json.dumps({"offset": offset}) if more else None)

    async def _list(self, selection: OozieWorkflows, offset: int) -> ListAnswer:
        filters: dict[str, str | Sequence[str]] = {
            "name": selection.name or (),
            "user": selection.user or (),
            "status": self._states(selection.phases),
            "text": selection.text or (),
            "startcreatedtime": selection.from_at.strftime(MINUTE) if selection.from_at else (),
            "endcreatedtime": _next_minute(selection.until_at) if selection.until_at else (),
        }
        try:
            filter = as_filter({key: value for key, value in filters.items() if value})
        except ValueError as error:
            raise EngineRefused(self._name, str(error), field="selection") from None
        return await self._server.list_page("wf", filter, offset=offset, length=PAGE_ITEMS)

    def _states(self, phases: Sequence[str]) -> tuple[str, ...]:
        found: list[str] = []
        for phase in phases:
            words = _WORDS.get(phase, (phase.upper(),))
            if not set(words) <= set(STATES):
                allowed = ", ".join([*_WORDS, *STATES])
                raise self._wrong("selection.phases", phase, f"allowed are {allowed}")
            found += words
        return tuple(dict.fromkeys(found))

    async def _workflow_item(self, job: WorkflowAnswer, rules: RerunRules) -> ResolvedItem:
        skipped, problem = await self._skip_nodes(job.id, job.status, rules)
        details = {
            "object": "workflow",
            "name": job.app_name,
            "user": job.user,
            "created_at": job.created_at.isoformat() if job.created_at else None,
            "seconds": _seconds(job.started_at, job.ended_at),
            "parent": job.parent_id,
            "problem": problem,
            "command": self._command(job.id, "workflow", rules, skipped),
        }
        return ResolvedItem(
            key=job.id,
            target=job.id,
            phase=workflow_phase(job.status),
            engine_state=job.status,
            nominal_at=job.created_at,
            run=job.run,
            last_modified=job.modified_text,
            skip_nodes=skipped,
            details={name: value for name, value in details.items() if value is not None},
        )

    async def _skip_nodes(self, id: str, status: str, rules: RerunRules) -> tuple[tuple[str, ...], str | None]:
        """The nodes a rerun would skip, and why it cannot be computed."""
        scope: Scope = rules.scope
        if scope == "all" or status not in WORKFLOW_ENDS:
            return (), None
        job = await self._server.workflow(id)
        if job is None:
            return (), "Oozie does not know its workflow"
        try:
            names = skip_nodes(scope, job.actions, rules.nodes)
            check_work_is_left(names, job.status, job.actions)
            return tuple(names[:1000]), None
        except NodesRefused as error:
            return (), str(error)[:500]

    def _command(
        self, target: str, object: Literal["workflow", "coordinator"], rules: RerunRules, skipped: Sequence[str]
    ) -> str:
        """The `oozie` command line that reruns an item as we do."""
        by_coordinator = object == "coordinator"
        work = OozieWork(
            mode="rerun", object=object, target=target, properties=rules.properties, skip_nodes=tuple(skipped),
            refresh=rules.refresh and by_coordinator, clean_up=rules.clean_up and by_coordinator,
        )  # fmt: skip
        return equivalent(str(self._server.rest.url), work)[:MAX_COMMAND]

    # actions of coordinators

    async def _actions(self, selection: OozieActions, position: Mapping[str, Any]) -> SelectionPage:
        ids = await self._coordinators(selection) if not position else [str(id) for id in position["ids"]]
        at, window, offset = (int(position.get(name, 0)) for name in ("at", "window", "offset"))
        if not ids:
            return SelectionPage(())
        coordinator = await self._coordinator(ids[at])
        move = _move_of(selection, coordinator)
        windows = self._windows(selection, coordinator, move)
        if move is not None and windows[window].moved:
            items, offset = self._moved_dates(coordinator, move, windows[window], offset)
        else:
            items, offset = await self._window_items(coordinator, windows[window], offset, selection.rerun, move)
            if offset == 0 and windows[window].filter is None:
                items += self._not_made(coordinator, windows[window])
            elif offset == 0:
                items += await self._not_made_between(coordinator, windows[window])
        if move is not None:
            items = [_details_with(item, move=move.id) for item in items]
        place = _next_place(at, window, offset, len(windows), len(ids))
        return SelectionPage(tuple(items), json.dumps({"ids": ids, **place}) if place else None)

    async def _coordinators(self, selection: OozieActions) -> list[str]:
        """The coordinators named, and those of the bundles named, each once."""
        ids = list(selection.coordinators)
        for id in ids:
            self._expect_type(id, "coordinator", "selection.coordinators")
        for id in selection.bundles:
            self._expect_type(id, "bundle", "selection.bundles")
            bundle = await self._server.bundle(id)
            if bundle is None:
                raise self._wrong("selection.bundles", id, "Oozie does not know it")
            ids += sorted(coordinator.id for coordinator in bundle.coordinators)
        return list(dict.fromkeys(ids))

    async def _coordinator(self, id: str) -> CoordinatorAnswer:
        found = await self._server.coordinator(id)
        if found is None:
            raise self._wrong("selection.coordinators", id, "Oozie does not know it")
        return found

    def _windows(self, selection: OozieActions, coordinator: CoordinatorAnswer, move: Move | None) -> "list[Window]":
        """The parts of the coordinator that are listed one after the other; refuses dates outside of it."""
        windows = [Window(first=max(1, first), last=last) for first, last in selection.numbers]
        for dates in selection.dates:
            here, moved = _parts(dates, move)
            outside = _why_outside(here, coordinator) if here else ""
            if outside and moved is None:
                shown = f"{dates[0]:{MINUTE}} to {dates[1]:{MINUTE}}"
                raise self._wrong("selection.dates", shown, outside)
            if here and not outside:
                windows.append(Window(from_at=here[0], until_at=here[1]))
            if moved:
                windows.append(Window(from_at=moved[0], until_at=moved[1], moved=True))
        return windows or [Window()]

    async def _window_items(
        self, coordinator: CoordinatorAnswer, window: "Window", offset: int, rules: RerunRules, move: Move | None
    ) -> tuple[list[ResolvedItem], int]:
        """A page of actions from `offset` on, and where the next one begins; 0 when there is none."""
        first = window.first + offset if window.first else offset + 1
        length = min(PAGE_ITEMS, window.last - first + 1) if window.last else PAGE_ITEMS
        page = await self._server.coordinator(coordinator.id, offset=first, length=length, filter=window.filter)
        actions = page.actions if page else ()
        total = page.total if page else 0
        moved = [at for action in actions if (at := action.nominal_at) and move and at >= move.moved_at]
        here = [action for action in actions if action.nominal_at not in moved]
        items = await self._action_items(coordinator, here, rules)
        if move is not None:
            items += [self._moved_date(coordinator, move, at) for at in moved]
        done = not actions or first + len(actions) > min(total, window.last or total)
        return items, 0 if done else offset + len(actions)

    def _moved_dates(
        self, coordinator: CoordinatorAnswer, move: Move, window: "Window", offset: int
    ) -> tuple[list[ResolvedItem], int]:
        """A page of the dates that live in Airflow, and where the next one begins; 0 when there is none."""
        if reason := why_unknown(coordinator):
            raise self._wrong("selection.dates", coordinator.id, f"what moved cannot be listed by date: {reason}")
        assert window.from_at is not None
        assert window.until_at is not None
        due = times_beyond_end(coordinator, window.from_at, window.until_at)
        times = [at for _, at in islice(due, offset, offset + PAGE_ITEMS + 1)]
        items = [self._moved_date(coordinator, move, at) for at in times[:PAGE_ITEMS]]
        return items, offset + PAGE_ITEMS if len(times) > PAGE_ITEMS else 0

    def _moved_date(self, coordinator: CoordinatorAnswer, move: Move, at: datetime) -> ResolvedItem:
        """A date that lives in Airflow: which one is its DAG's. What is there is looked up afterwards."""
        try:
            logical_at = move.logical_date.of(at, zone_of(coordinator.time_zone) or UTC)
        except OverflowError:
            raise self._wrong("selection.dates", f"{at:{MINUTE}}", "its logical date is outside of time") from None
        return ResolvedItem(
            key=f"{coordinator.id}@{at:{MINUTE}}",
            target=move.dag_id,
            nominal_at=at,
            details={"object": "dag_run", "coordinator": coordinator.id, "name": coordinator.name,
                     "logical_date": f"{logical_at:%Y-%m-%dT%H:%M:%SZ}"},
        )  # fmt: skip

    async def _action_items(
        self, coordinator: CoordinatorAnswer, actions: Sequence[CoordinatorActionAnswer], rules: RerunRules
    ) -> list[ResolvedItem]:
        ids = [action.external_id for action in actions if action.external_id]
        jobs = await self._server.workflows(ids) if ids else {}
        items = [
            await self._action_item(coordinator, action, jobs.get(action.external_id or ""), rules)
            for action in actions
        ]
        return await self._with_deletions(coordinator, items) if rules.clean_up and items else items

    async def _with_deletions(
        self, coordinator: CoordinatorAnswer, items: Sequence[ResolvedItem]
    ) -> list[ResolvedItem]:
        """Each action with the directories that its clean-up would delete, or why they cannot be listed."""
        try:
            outputs = await self._outputs.of(coordinator)
            return [await self._with_own_deletions(item, outputs) for item in items]
        except OutputsUnknown as unknown:
            return [_details_with(item, deletes_unknown=str(unknown)) for item in items]

    async def _with_own_deletions(self, item: ResolvedItem, outputs: DryRun) -> ResolvedItem:
        if item.nominal_at is None:
            return _details_with(item, deletes_unknown="the action has no nominal time")
        mine = outputs.directories(item.nominal_at)
        if not mine:
            return item.model_copy(update={"deletes": ("nothing: the coordinator has no output events",)})
        return item.model_copy(update={"deletes": await self._outputs.deletions(mine)})

    async def _action_item(
        self,
        coordinator: CoordinatorAnswer,
        action: CoordinatorActionAnswer,
        job: WorkflowAnswer | None,
        rules: RerunRules,
    ) -> ResolvedItem:
        """An action. Where nodes are skipped its workflow is what is rerun, and what is expected of the world."""
        by_workflow = rules.scope != "all" and job is not None and action.status in {*ACTION_FAILURES, "SUCCEEDED"}
        skipped, problem = ((), None)
        if by_workflow and job is not None:
            skipped, problem = await self._skip_nodes(job.id, job.status, rules)
        details = {
            "object": "workflow" if by_workflow else "coordinator",
            "name": coordinator.name,
            "coordinator": coordinator.id,
            "coordinator_state": coordinator.status,
            "number": action.number,
            "workflow": action.external_id,
            "seconds": _seconds(job.started_at, job.ended_at) if job else None,
            "waits_for": (action.missing or "")[:500] or None,
            "problem": problem,
            "command": self._command(
                job.id if by_workflow and job else action.id,
                "workflow" if by_workflow else "coordinator",
                rules,
                skipped,
            ),
        }
        return ResolvedItem(
            key=action.id,
            target=job.id if by_workflow and job is not None else action.id,
            phase=action_phase(action.status),
            engine_state=action.status,
            nominal_at=action.nominal_at,
            run=job.run if by_workflow and job is not None else None,
            last_modified=job.modified_text if by_workflow and job is not None else action.modified_text,
            skip_nodes=skipped,
            details={name: value for name, value in details.items() if value is not None},
        )

    def _not_made(self, coordinator: CoordinatorAnswer, window: "Window") -> list[ResolvedItem]:
        """Numbers that were asked for and that Oozie has not made."""
        first, last = max(coordinator.total + 1, window.first), window.last
        numbers = range(first, min(last, first + PAGE_ITEMS) + 1) if window.first else range(0)
        return [_missing(coordinator, number, None) for number in numbers]

    async def _not_made_between(self, coordinator: CoordinatorAnswer, window: "Window") -> list[ResolvedItem]:
        """Dates in the window at which an action is due that Oozie has not made."""
        if window.from_at is None or window.until_at is None or coordinator.next_at is None:
            return []
        first = max(window.from_at, coordinator.next_at)
        until = min(window.until_at, coordinator.end_at or window.until_at)
        if first <= until and zone_of(coordinator.time_zone) is None:
            reason = f"its time zone {coordinator.time_zone!r} is not known, so what is due cannot be listed by date"
            raise self._wrong("selection.dates", coordinator.id, f"{reason}: name its actions by number")
        due = nominal_times(coordinator, first, window.until_at)
        return [_missing(coordinator, number, at) for (number, at), _ in zip(due, range(PAGE_ITEMS), strict=False)]

    def _expect_type(self, id: str, type: JobType, field: str) -> None:
        try:
            found = parse_id(id)
        except ValueError as error:
            raise EngineRefused(self._name, str(error), field=field, value=id[:200]) from None
        if found.type != type or found.action is not None:
            what = f"an action of a {found.type}" if found.action else f"a {found.type}"
            raise self._wrong(field, id, f"it is {what}, and a {type} is meant here")

    def _wrong(self, field: str, value: str, reason: str) -> EngineRefused:
        return EngineRefused(self._name, bounded(f"{value}: {reason}"), field=field, value=value[:200])


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a coordinator's actions: by number (0: open), or by nominal time."""

    first: int = 0
    last: int = 0
    from_at: datetime | None = None
    until_at: datetime | None = None
    moved: bool = False
    """These dates live in Airflow: they follow from the coordinator's frequency."""

    @property
    def filter(self) -> str | None:
        if self.from_at is None or self.until_at is None:
            return None
        return f"nominaltime>={_ceil_minute(self.from_at)};nominaltime<={self.until_at:{MINUTE}}"


def _move_of(selection: OozieActions, coordinator: CoordinatorAnswer) -> Move | None:
    """The move of a coordinator: the one by its id, else the one by its name."""
    moves = selection.moves if isinstance(selection, RoutedActions) else ()
    by = {move.coordinator: move for move in moves}
    return by.get(coordinator.id) or by.get(coordinator.name or "")


Dates = tuple[datetime, datetime]


def _parts(dates: Dates, move: Move | None) -> tuple[Dates | None, Dates | None]:
    """What of a range lives in Oozie, and what in Airflow."""
    first, last = dates
    if move is None or last < move.moved_at:
        return dates, None
    if first >= move.moved_at:
        return None, dates
    return (first, move.moved_at - timedelta(microseconds=1)), (move.moved_at, last)


def _why_outside(dates: Dates, coordinator: CoordinatorAnswer) -> str:
    """Why no action of the coordinator can be in a range; empty if one can."""
    start, end = coordinator.started_at, coordinator.end_at
    if start and end and (dates[1] < start or dates[0] >= end):
        return f"lie outside of {coordinator.id}: it runs from {start:{MINUTE}} to {end:{MINUTE}}"
    return ""


def _details_with(item: ResolvedItem, **more: str) -> ResolvedItem:
    details = item.details if isinstance(item.details, dict) else {}
    return item.model_copy(update={"details": {**details, **more}})


def _missing(coordinator: CoordinatorAnswer, number: int, at: datetime | None) -> ResolvedItem:
    return ResolvedItem(
        key=f"{coordinator.id}@{number}",
        target=f"{coordinator.id}@{number}",
        engine_state="",
        nominal_at=at,
        details={"object": "coordinator", "coordinator": coordinator.id, "name": coordinator.name,
                 "coordinator_state": coordinator.status, "number": number, "missing": True},
    )  # fmt: skip


def _next_place(at: int, window: int, offset: int, windows: int, ids: int) -> dict[str, int] | None:
    if offset:
        return {"at": at, "window": window, "offset": offset}
    if window + 1 < windows:
        return {"at": at, "window": window + 1, "offset": 0}
    return {"at": at + 1, "window": 0, "offset": 0} if at + 1 < ids else None


def _position(page: str | None) -> Mapping[str, Any]:
    if page is None:
        return {}
    position: Any = json.loads(page)
    return position


def _within(job: WorkflowAnswer, selection: OozieWorkflows) -> bool:
    """Oozie's filter has minutes; the selection may be finer."""
    created = job.created_at
    if created is None:
        return not (selection.from_at or selection.until_at)
    return (selection.from_at is None or created >= selection.from_at) and (
        selection.until_at is None or created <= selection.until_at
    )


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    return (ended - began).total_seconds() if began and ended and ended >= began else None


def _next_minute(instant: datetime) -> str:
    return (instant + timedelta(minutes=1)).strftime(MINUTE)


def _ceil_minute(instant: datetime) -> str:
    minute = instant.replace(second=0, microsecond=0)
    return (minute if minute == instant else minute + timedelta(minutes=1)).strftime(MINUTE)
