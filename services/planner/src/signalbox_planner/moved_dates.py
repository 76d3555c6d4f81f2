"""Dates of coordinators that moved to Airflow: which runs are looked up for them, and what is decided. Pure.

A moved date is one that an executor found beyond its coordinator's move: it names the move and the logical date.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from pydantic import JsonValue, TypeAdapter

from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.selection import AirflowRuns, RerunRules, RoutedActions
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.messages.plans import Decision
from signalbox_contracts.messages.requests import KnownMoves
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_contracts.vocabulary import Instant
from signalbox_planner.rerun_decisions import DecidedItem

ENDED: Final = frozenset({"success", "failed"})
DATES_AT_ONCE: Final = 1000
"""Dates of one look-up."""
_INSTANT: Final[TypeAdapter[datetime]] = TypeAdapter(Instant)


@dataclass(frozen=True, slots=True)
class MovedDate:
    """A nominal time of a coordinator that lives in Airflow."""

    item: ResolvedItem
    move: Move
    logical_date: str
    denied: bool
    """The caller may start nothing on the Airflow engine."""

    @property
    def name(self) -> str:
        """The DAG and the date: what a live plan occupies."""
        return f"{self.move.dag_id}@{self.logical_date}"


Found = ResolvedItem | str
"""What a look-up found of a date: its run, or why nothing is known."""


def moved_date(item: ResolvedItem, selection: RoutedActions) -> MovedDate | None:
    """The moved date that an item is; None for an action that lives in Oozie."""
    details = _details(item)
    if details.get("object") != "dag_run":
        return None
    move = next(move for move in selection.moves if move.id == details["move"])
    denied = move.airflow_engine in selection.denied_engines
    return MovedDate(item, move, str(details["logical_date"]), denied)


def look_ups(moved: Iterable[MovedDate]) -> list[tuple[str, AirflowRuns]]:
    """What is looked up on which Airflow engine: each date once, none of an engine that the caller may not use."""
    wanted: dict[tuple[str, str], set[datetime]] = {}
    for one in moved:
        if not one.denied:
            at = _INSTANT.validate_python(one.logical_date)
            wanted.setdefault((one.move.airflow_engine, one.move.dag_id), set()).add(at)
    return [
        (engine, AirflowRuns(dag_id=dag_id, dates=tuple(part)))
        for (engine, dag_id), dates in sorted(wanted.items())
        for part in _chunks(sorted(dates))
    ]


def found_runs(engine: str, selection: AirflowRuns, items: Iterable[ResolvedItem], error: str | None) -> dict[
    tuple[str, str], Found
]:  # fmt: skip
    """By engine and name of a date what its look-up found."""
    by_date = {item.nominal_at: item for item in items}
    words = error or "the look-up did not answer for this date"
    return {(engine, f"{selection.dag_id}@{at:%Y-%m-%dT%H:%M:%SZ}"): by_date.get(at, words) for at in selection.dates}


def decide_moved(
    one: MovedDate, found: Found, rules: RerunRules, owner: UUID | None, now: datetime, *, oozie: str
) -> DecidedItem:
    """The decision about a moved date. One that the caller may not start stays an item of the Oozie engine."""
    run = found if isinstance(found, ResolvedItem) else None
    blocked = _why_blocked(one, found, rules, owner, now)
    decision, reason = (Decision.BLOCKED, blocked) if blocked else _decision(run, rules)
    nominal_at = one.item.nominal_at
    return DecidedItem(
        key=f"{one.move.airflow_engine}:{one.name}"[:255],
        engine=oozie if one.denied else one.move.airflow_engine,
        decision=decision,
        reason=reason[:2000],
        work=_work(one, run, rules) if decision is Decision.RUN else None,
        expected=_expected(one, run),
        owner_plan=owner if decision is Decision.BLOCKED else None,
        sort_key=(nominal_at.isoformat() if nominal_at else "", one.item.key),
        seconds=_number(_details(run).get("seconds")) if run else None,
        objects=(one.name,),
    )


def _why_blocked(one: MovedDate, found: Found, rules: RerunRules, owner: UUID | None, now: datetime) -> str:
    engine, nominal_at = one.move.airflow_engine, one.item.nominal_at
    if one.denied:
        return f"this needs the permission to start work on engine {engine}"
    if nominal_at is not None and nominal_at > now:
        return "it is not due yet"
    for chosen, words in (
        (rules.scope == "nodes", "scope 'nodes' names nodes of Oozie workflows"),
        (rules.clean_up, "clean_up deletes outputs of Oozie actions"),
        (bool(rules.properties), "properties are those of Oozie jobs"),
    ):
        if chosen:
            return f"{words}: rerun what lives in Airflow without"
    if not isinstance(found, ResolvedItem):
        return found
    details = _details(found)
    if found.engine_state and found.engine_state not in ENDED:
        return f"run {found.target} is {found.engine_state}: only what has ended can be rerun"
    if owner is not None:
        return f"plan {owner} already runs it"
    if details.get("import_errors"):
        return f"Airflow cannot parse DAG {one.move.dag_id}"
    return ""


def _decision(run: ResolvedItem | None, rules: RerunRules) -> tuple[Decision, str]:
    """By policy: each takes what the one before takes, and more."""
    assert run is not None
    state = run.engine_state
    paused = "; the DAG is paused: its run stays queued until that ends" if _details(run).get("paused") else ""
    if not state:
        return Decision.RUN, f"Airflow has no run of this date{paused}"
    if rules.policy == "missing":
        return Decision.SKIP, f"run {run.target} is {state}, and policy 'missing' runs dates without a run"
    if state == "success" and rules.policy == "failed":
        return Decision.SKIP, f"run {run.target} is success, and policy 'failed' reruns failed"
    if state == "success" and rules.scope != "all":
        return Decision.SKIP, f"run {run.target} is success: nothing in it failed"
    return Decision.RUN, f"run {run.target} is {state}{paused}"


def _work(one: MovedDate, run: ResolvedItem | None, rules: RerunRules) -> AirflowWork:
    """A new run of a date without one; otherwise its run is cleared."""
    assert run is not None
    assert one.item.nominal_at is not None
    if not run.engine_state:
        return AirflowWork(
            dag_id=one.move.dag_id, logical_date=one.logical_date, conf=one.move.conf_of(one.item.nominal_at)
        )
    return AirflowWork(
        mode="clear", dag_id=one.move.dag_id, dag_run_id=run.target, logical_date=one.logical_date,
        expected_queued_at=_INSTANT.validate_python(run.last_modified) if run.last_modified else None,
        clear_tasks="all" if rules.scope == "all" else "failed",
    )  # fmt: skip


def _expected(one: MovedDate, run: ResolvedItem | None) -> dict[str, JsonValue]:
    nominal_at = one.item.nominal_at
    details = _details(one.item)
    values: dict[str, JsonValue] = {
        "lives_in": f"airflow:{one.move.dag_id}",
        "move": one.move.id,
        "name": details.get("name"),
        "coordinator": details.get("coordinator"),
        "nominal_at": nominal_at.isoformat() if nominal_at else None,
        "logical_date": one.logical_date,
        "target": run.target or None if run else None,
        "state": run.engine_state or None if run else None,
        "last_modified": run.last_modified if run else None,
        "seconds": _number(_details(run).get("seconds")) if run else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def moves_difference(used: Iterable[str], before: Sequence[Move], after: Sequence[Move]) -> list[dict[str, JsonValue]]:
    """The moves with these ids that differ, each with the fields that do; `is` is None for one that is deleted."""
    old, new = ({move.id: _shown(move) for move in moves} for moves in (before, after))
    changed: list[dict[str, JsonValue]] = []
    for id in sorted(set(used) & old.keys()):
        was, now = old[id], new.get(id)
        if now is None:
            changed.append({"id": id, "was": was, "is": None})
        elif fields := [name for name in was if was[name] != now[name]]:
            changed.append({"id": id, "was": {name: was[name] for name in fields},
                            "is": {name: now[name] for name in fields}})  # fmt: skip
    return changed


def describe_moves(changed: Sequence[Mapping[str, Any]]) -> str:
    """Changed moves as a sentence."""
    parts: list[str] = []
    for one in changed[:5]:
        if one["is"] is None:
            parts.append(f"move {one['id']} was deleted")
        else:
            fields = ", ".join(f"{name} was {one['was'][name]}, is {one['is'][name]}" for name in one["is"])
            parts.append(f"move {one['id']}: {fields}")
    rest = " and others" if len(changed) > 5 else ""
    return f"the world is not as previewed: {'; '.join(parts)}{rest}"


def used_moves(items: Iterable[DecidedItem]) -> frozenset[str]:
    """The moves that decided items follow."""
    named = (cast("Mapping[str, Any]", one.expected).get("move") for one in items if isinstance(one.expected, dict))
    return frozenset(str(id) for id in named if id)


def engine_moves(known: KnownMoves, engine: str) -> tuple[Move, ...]:
    return tuple(move for move in known.moves if move.engine == engine)


def _shown(move: Move) -> dict[str, JsonValue]:
    return move.model_dump(mode="json", exclude={"name", "description", "labels", "project", "kind", "id"})


def _chunks(dates: Sequence[datetime]) -> list[Sequence[datetime]]:
    return [dates[at : at + DATES_AT_ONCE] for at in range(0, len(dates), DATES_AT_ONCE)]


def _details(item: ResolvedItem) -> Mapping[str, Any]:
    return item.details if isinstance(item.details, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
