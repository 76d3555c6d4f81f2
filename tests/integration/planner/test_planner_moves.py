"""Previews that meet a coordinator which moved to Airflow: a second look-up, and an apply that compares the moves."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.selection import AirflowRuns, RoutedActions
from signalbox_contracts.messages.requests import (
    EngineSelection,
    KnownMoves,
    PlanApply,
    PlanRequest,
    PlanRequestData,
    RunSelection,
)
from signalbox_contracts.messages.task_commands import SelectionResolve, SelectionResolveData, TasksEnsure
from signalbox_contracts.messages.tasks import ResolvedItem, SelectionResolved, SelectionResolvedData
from support.planner import GATEWAY, Planners, command
from support.service_fixture import until

FIRST = datetime(2026, 4, 1, tzinfo=UTC)


def move(**changes: Any) -> Move:
    values = {
        "id": "daily", "name": "daily", "engine": "ooz", "coordinator": "daily-load", "airflow_engine": "air",
        "dag_id": f"daily-{uuid.uuid4().hex[:8]}", "moved_at": FIRST, "conf": {"mode": "full"},
    }  # fmt: skip
    return Move.model_validate({**values, **changes})


def coordinator(of: Move) -> str:
    """Each move of these tests is about a coordinator of its own: plans occupy actions by their ids."""
    return f"{of.dag_id}-C"


def request(*moves: Move, denied: tuple[str, ...] = ()) -> PlanRequest:
    """A preview of one coordinator over six days, three of them in Airflow."""
    selection = EngineSelection.model_validate(
        {"engine": "ooz", "selection": {"kind": "oozie_actions", "coordinators": [coordinator(moves[0])]}}
    )
    known = KnownMoves(moves=moves, denied_engines=denied)
    plan = uuid.uuid4()
    data = PlanRequestData(
        plan_id=plan, actor="user:ann", definitions_revision=1, name="a rerun", preview=True,
        what=RunSelection(selections=(selection,), known=known),
    )  # fmt: skip
    return PlanRequest.of(data, subject=plan, source=GATEWAY, time=datetime.now(UTC), aggregateversion=0)


def found_in_oozie(of: Move, *, days: int = 3) -> list[ResolvedItem]:
    """What an executor finds: actions before the move, and dates from then on."""
    details = {"coordinator": coordinator(of), "name": "daily-load", "move": of.id}
    actions = [
        ResolvedItem(
            key=f"{coordinator(of)}@{n}", target=f"{coordinator(of)}@{n}", engine_state="KILLED",
            nominal_at=FIRST - timedelta(days=4 - n), details={**details, "object": "coordinator"},
        )
        for n in range(1, 4)
    ]  # fmt: skip
    times = [FIRST + timedelta(days=n) for n in range(days)]
    dates = [
        ResolvedItem(
            key=f"{coordinator(of)}@{at:%Y-%m-%dT%H:%MZ}", target=of.dag_id, nominal_at=at,
            details={**details, "object": "dag_run", "logical_date": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
        )
        for at in times
    ]  # fmt: skip
    return [*actions, *dates]


def found_in_airflow(selection: AirflowRuns, states: tuple[str, ...]) -> list[ResolvedItem]:
    """The runs of the dates, in these states; an empty one for no run."""
    return [
        ResolvedItem(
            key=f"{selection.dag_id}@{at:%Y-%m-%d}", target=f"run-{at:%d}" if state else "", engine_state=state,
            nominal_at=at, last_modified=at.isoformat() if state else None, details={"object": "dag_run"},
        )
        for at, state in zip(selection.dates, states, strict=True)
    ]  # fmt: skip


class Lookups:
    """Answers the look-ups of one plan as executors would."""

    def __init__(self, planners: Planners, plan: uuid.UUID) -> None:
        self.planners = planners
        self.plan = plan
        self.seen: set[uuid.UUID] = set()

    async def next(self) -> SelectionResolveData:
        """The next look-up that the planner asks for."""
        while True:
            for event in await self.planners.commands(self.plan):
                if isinstance(event, SelectionResolve) and event.data.selection_id not in self.seen:
                    self.seen.add(event.data.selection_id)
                    return event.data
            await asyncio.sleep(0.05)

    async def answer(self, look_up: SelectionResolveData, items: list[ResolvedItem], error: str | None = None) -> None:
        data = SelectionResolvedData(
            plan_id=self.plan, selection_id=look_up.selection_id, round=look_up.round, page=1, pages=1,
            items=tuple(items), error=error,
        )  # fmt: skip
        about: dict[str, Any] = {"source": "signalbox/executor", "time": datetime.now(UTC)}
        await self.planners.executors.send(
            SelectionResolved.of(data, subject=self.plan, aggregateversion=look_up.round, **about)
        )

    async def both(self, of: Move, *states: str) -> None:
        """Answer the look-up on Oozie and the one that follows on Airflow."""
        await self.answer(await self.next(), found_in_oozie(of, days=len(states)))
        follows = await self.next()
        assert follows.engine == "air"
        assert isinstance(follows.selection, AirflowRuns)
        await self.answer(follows, found_in_airflow(follows.selection, states))


async def items(planners: Planners, plan: uuid.UUID) -> dict[str, tuple[str, str, str]]:
    """Where each item lives, its decision and its engine, by key."""
    (page,) = await planners.pages(plan)
    return {
        one.key: (str(one.expected["lives_in"]), one.decision.value, str(one.engine))  # type: ignore[index,call-overload]
        for one in page.data.items
    }


async def hash_of(planners: Planners, plan: uuid.UUID) -> str:
    return str((await planners.plan_states(plan))[-1].data.preview_hash)


async def test_one_plan_runs_dates_in_oozie_and_in_airflow(planners: Planners) -> None:
    moved = move()
    wanted = request(moved)
    plan = wanted.data.plan_id
    lookups = Lookups(planners, plan)
    async with planners.running(), asyncio.timeout(120):
        await planners.executors.send(wanted)
        look_up = await lookups.next()
        assert isinstance(look_up.selection, RoutedActions)
        assert look_up.selection.moves == (moved,)
        await lookups.answer(look_up, found_in_oozie(moved))
        follows = await lookups.next()
        assert (follows.engine, follows.round) == ("air", 0)
        assert isinstance(follows.selection, AirflowRuns)
        assert follows.selection.dates == tuple(FIRST + timedelta(days=n) for n in range(3))
        await lookups.answer(follows, found_in_airflow(follows.selection, ("", "success", "failed")))
        await planners.until_state(plan, "PREVIEWED")
        home = f"airflow:{moved.dag_id}"
        assert await items(planners, plan) == {
            **{f"{coordinator(moved)}@{n}": ("oozie", "run", "ooz") for n in range(1, 4)},
            f"air:{moved.dag_id}@2026-04-01T00:00:00Z": (home, "run", "air"),
            f"air:{moved.dag_id}@2026-04-02T00:00:00Z": (home, "skip", "air"),
            f"air:{moved.dag_id}@2026-04-03T00:00:00Z": (home, "run", "air"),
        }
        apply = command(PlanApply, plan, preview_hash=await hash_of(planners, plan), known=KnownMoves(moves=(moved,)))
        await planners.executors.send(apply)
        await lookups.both(moved, "", "success", "failed")
        await planners.until_state(plan, "RUNNING")

        async def tasks() -> dict[str, Any]:
            sent = [one for one in await planners.commands(plan) if isinstance(one, TasksEnsure)]
            return {task.item_key: task for event in sent for task in event.data.tasks}

        async def all_sent() -> bool:
            return len(await tasks()) == 5

        await until(all_sent, why="five tasks are sent")
        sent = await tasks()
        first, third = (sent[f"air:{moved.dag_id}@2026-04-0{day}T00:00:00Z"] for day in (1, 3))
        assert (first.engine, first.work.mode, first.work.logical_date) == ("air", "trigger", "2026-04-01T00:00:00Z")
        assert (third.work.mode, third.work.dag_run_id, third.work.clear_tasks) == ("clear", "run-03", "all")
        assert [sent[key].position for key in sent] == [0, 1, 2, 3, 5], "by date, over both engines"

        other = request(moved)
        again = Lookups(planners, other.data.plan_id)
        await planners.executors.send(other)
        await again.both(moved, "", "success", "failed")
        await planners.until_state(other.data.plan_id, "PREVIEWED")
        (page,) = await planners.pages(other.data.plan_id)
        owned = {one.key: one.owner_plan for one in page.data.items if one.decision.value == "blocked"}
        assert owned[f"air:{moved.dag_id}@2026-04-01T00:00:00Z"] == plan, "a live plan runs this DAG and date"


@pytest.mark.parametrize("change", ["moved_at", "deleted"])
async def test_an_apply_after_the_move_changed_is_refused_with_the_difference(planners: Planners, change: str) -> None:
    moved = move()
    wanted = request(moved)
    plan = wanted.data.plan_id
    lookups = Lookups(planners, plan)
    async with planners.running(), asyncio.timeout(120):
        await planners.executors.send(wanted)
        await lookups.both(moved, "", "", "")
        await planners.until_state(plan, "PREVIEWED")
        later = moved.model_copy(update={"moved_at": FIRST + timedelta(days=1)})
        known = KnownMoves(moves=(later,) if change == "moved_at" else ())
        await planners.executors.send(command(PlanApply, plan, preview_hash=await hash_of(planners, plan), known=known))
        await planners.until_state(plan, "REFUSED")
    last = (await planners.plan_states(plan))[-1].data
    difference: Any = last.difference
    assert difference["counts"] == {"moves": 1}
    (one,) = difference["moves"]
    if change == "moved_at":
        assert (one["was"], one["is"]) == ({"moved_at": "2026-04-01T00:00:00Z"}, {"moved_at": "2026-04-02T00:00:00Z"})
    else:
        assert (one["was"]["dag_id"], one["is"]) == (moved.dag_id, None)
        assert "move daily was deleted" in last.reason


async def test_a_look_up_that_fails_on_airflow_and_an_engine_out_of_reach_block_their_dates_alone(
    planners: Planners,
) -> None:
    moved = move()
    gone, denied = request(moved), request(moved, denied=("air",))
    async with planners.running(), asyncio.timeout(120):
        await planners.executors.send(gone, denied)
        lookups = Lookups(planners, gone.data.plan_id)
        await lookups.answer(await lookups.next(), found_in_oozie(moved))
        await lookups.answer(await lookups.next(), [], error="air refuses selection.dag_id: there is no DAG")
        await planners.until_state(gone.data.plan_id, "PREVIEWED")
        other = Lookups(planners, denied.data.plan_id)
        await other.answer(await other.next(), found_in_oozie(moved))
        await planners.until_state(denied.data.plan_id, "PREVIEWED")
    for plan, engine, words in (
        (gone.data.plan_id, "air", "there is no DAG"),
        (denied.data.plan_id, "ooz", "the permission to start work on engine air"),
    ):
        (page,) = await planners.pages(plan)
        assert [one.decision.value for one in page.data.items] == ["run"] * 3 + ["blocked"] * 3
        assert {one.engine for one in page.data.items[3:]} == {engine}
        assert all(words in one.reason for one in page.data.items[3:])
