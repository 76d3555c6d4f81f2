"""Decides what a resolved selection means: which items run, which are skipped or blocked, and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import JsonValue

from signalbox_contracts.definitions.selection import RerunRules
from signalbox_contracts.definitions.work import AirflowWork, OozieExpectation, OozieWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.plans import Decision
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_planner.plan import Item

ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "KILLED", "TIMEDOUT", "SKIPPED", "IGNORED"})
FAILED: Final = frozenset({"FAILED", "KILLED", "TIMEDOUT"})
NEVER_RAN: Final = frozenset({"TIMEDOUT", "SKIPPED", "IGNORED"})
CLOSED_COORDINATORS: Final = frozenset({"PREP", "PREMATER", "IGNORED"})
"""Oozie refuses reruns of the actions of a coordinator in one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedItem:
    """One line of a preview. `work` is set if and only if it runs."""

    key: str
    engine: str
    decision: Decision
    reason: str
    work: OozieWork | AirflowWork | None = None
    expected: JsonValue = None
    """What was true of the world when this was decided."""
    deletes: tuple[str, ...] = ()
    owner_plan: UUID | None = None
    sort_key: tuple[str, str] = ("", "")
    seconds: float | None = None
    """How long its last run took."""
    objects: tuple[str, ...] = ()
    """What running it occupies on its engine: a coordinator's action and its workflow are two names of one."""


def decide(engine: str, item: ResolvedItem, rules: RerunRules, owner: UUID | None) -> DecidedItem:
    """The decision about one resolved item. `owner` is the live plan that already reruns it, if any."""
    details = _details(item)
    decision, reason = _decision(item, details, rules, owner)
    return DecidedItem(
        key=item.key,
        engine=engine,
        decision=decision,
        reason=reason[:2000],
        work=_work(item, details, rules) if decision is Decision.RUN else None,
        expected=_expected(item, details),
        deletes=item.deletes if decision is Decision.RUN and rules.clean_up else (),
        owner_plan=owner if decision is Decision.BLOCKED else None,
        sort_key=(item.nominal_at.isoformat() if item.nominal_at else "", item.key),
        seconds=_number(details.get("seconds")),
        objects=objects_of(item),
    )


def retried(item: Item) -> Item:
    """A failed item as it is tried again in another plan: what its task moved is as expected there.

    `item.plan_id` is the plan it failed in.
    """
    if '"kind":"airflow"' in item.work:
        return _retried_run(item)
    if '"kind":"oozie"' not in item.work:
        return item
    work = OozieWork.model_validate_json(item.work)
    if work.expected is None:
        return item
    before = (*work.expected.after_tasks, task_id(item.plan_id, item.key))[-20:]
    expected = work.expected.model_copy(update={"after_tasks": before})
    return item._replace(work=work.model_copy(update={"expected": expected}).model_dump_json())


def _retried_run(item: Item) -> Item:
    """A DAG run of a date is not started twice: the one that the failed task started or cleared is cleared again."""
    work = AirflowWork.model_validate_json(item.work)
    if work.logical_date is None and work.expected_queued_at is None:
        return item
    before = (*work.after_tasks, task_id(item.plan_id, item.key))[-20:]
    return item._replace(work=work.model_copy(update={"after_tasks": before}).model_dump_json())


def objects_of(item: ResolvedItem) -> tuple[str, ...]:
    """Every name under which another plan could mean the same piece of work."""
    details = _details(item)
    names = [item.target, details.get("workflow"), details.get("parent")]
    if details.get("coordinator"):
        names.append(item.key)
    return tuple(sorted({name for name in names if isinstance(name, str) and name}))


def _decision(
    item: ResolvedItem, details: Mapping[str, Any], rules: RerunRules, owner: UUID | None
) -> tuple[Decision, str]:
    blocked = _why_blocked(item, details, rules, owner)
    if blocked:
        return Decision.BLOCKED, blocked
    parent = str(details.get("parent") or "")
    if "-W" in parent:
        return Decision.SKIP, f"it is part of workflow {parent}: rerun that one"
    state = item.engine_state
    chosen = {"missing": NEVER_RAN, "failed": FAILED, "all": ENDED}[rules.policy]
    if state not in chosen:
        return Decision.SKIP, f"it is {state}, and policy {rules.policy!r} reruns {', '.join(sorted(chosen))}"
    if rules.scope == "only_failed" and state == "SUCCEEDED":
        return Decision.SKIP, "nothing in it failed"
    return Decision.RUN, f"it is {state}"


def _why_blocked(item: ResolvedItem, details: Mapping[str, Any], rules: RerunRules, owner: UUID | None) -> str:
    """Why the item cannot be rerun although it may be wanted; empty if it can."""
    coordinator = details.get("coordinator_state")
    if details.get("missing"):
        return f"Oozie has not made this action; its coordinator is {coordinator or 'unknown'}"
    if item.engine_state not in ENDED:
        return f"it is {item.engine_state}: only what has ended can be rerun"
    if owner is not None:
        return f"plan {owner} already reruns it"
    if details.get("object") == "coordinator" and coordinator in CLOSED_COORDINATORS:
        return f"its coordinator is {coordinator}: Oozie refuses reruns of its actions"
    if problem := details.get("problem"):
        return str(problem)
    if rules.clean_up and not item.deletes:
        why = details.get("deletes_unknown") or "the engine does not list it"
        return f"what a clean-up would delete is not known: {why}; rerun without clean_up"
    return ""


def _work(item: ResolvedItem, details: Mapping[str, Any], rules: RerunRules) -> OozieWork:
    by_coordinator = details.get("object") == "coordinator"
    return OozieWork(
        mode="rerun",
        object="coordinator" if by_coordinator else "workflow",
        target=item.target[:255],
        properties=rules.properties,
        scope=None if by_coordinator else rules.scope,
        nodes=() if by_coordinator else rules.nodes,
        refresh=rules.refresh and by_coordinator,
        clean_up=rules.clean_up and by_coordinator,
        expected=OozieExpectation(
            run=item.run,
            last_modified=item.last_modified,
            phase=item.engine_state if by_coordinator or not details.get("coordinator") else None,
            external_id=_text(details.get("workflow")) if by_coordinator else None,
        ),
    )


def _expected(item: ResolvedItem, details: Mapping[str, Any]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "target": item.target,
        "state": item.engine_state,
        "run": item.run,
        "last_modified": item.last_modified,
        "nominal_at": item.nominal_at.isoformat() if item.nominal_at else None,
        "workflow": _text(details.get("workflow")),
        "name": _text(details.get("name")),
        "skip_nodes": list(item.skip_nodes) or None,
        "seconds": _number(details.get("seconds")),
        "command": details["command"][:1000] if isinstance(details.get("command"), str) else None,
        **({"lives_in": "oozie", "move": move} if (move := _text(details.get("move"))) else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def _details(item: ResolvedItem) -> Mapping[str, Any]:
    return item.details if isinstance(item.details, dict) else {}


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
