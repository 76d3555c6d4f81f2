"""What must hold afterwards, whatever was done: each rule is a function of the evidence that says what does not hold.

No rule asks a clock, a server or a service; `tests/unit/chaos` breaks each in turn.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from chaos.engine_runs import Run
from signalbox_contracts.ids import run_key
from signalbox_contracts.states import PLAN_ENDS, STEP_ENDS, TASK_ENDS
from support.audit import Change
from unit.protocol import replay

MAX_SHOWN: Final = 20
NO_LIMIT: Final = 2**31
Findings = list[str]


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the executor has it."""

    id: UUID
    plan_id: UUID
    item_key: str
    engine: str
    state: str
    version: int
    attempt: int
    max_attempts: int
    faults: int
    cancelled: bool
    script: Mapping[str, Any]
    step: str = ""
    """Of a pipeline's task: its step."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as the planner has it, with the states of its items."""

    id: UUID
    state: str
    version: int
    held: bool
    items: Mapping[str, int] = field(default_factory=dict[str, int])
    """Item's state → how many; `None` is ''."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a plan's pipeline as the planner has it."""

    id: str
    state: str
    depends_on: tuple[tuple[str, str], ...] = ()
    """The steps it waits for, each with `on_success`, `on_failure` or `always`."""
    compensates: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that came into force, by the clock of the database that keeps it."""

    at: float
    of: str
    maximum: int | None


@dataclass(frozen=True, slots=True)
class PublishedState:
    """One task in one fact."""

    task_id: UUID
    version: int
    state: str
    attempt: int
    cause: str | None


@dataclass
class Evidence:
    """What is left after a run."""

    unanswered: list[str] = field(default_factory=list[str])
    """Right requests that were refused, or that nobody answered for minutes."""
    requested: dict[UUID, int | None] = field(default_factory=dict[UUID, "int | None"])
    """Every plan the API accepted → its number of items, where the caller knows it."""
    left: set[UUID] = field(default_factory=set[UUID])
    """Plans that were not to end."""
    tasks: list[Task] = field(default_factory=list[Task])
    plans: list[Plan] = field(default_factory=list[Plan])
    steps: dict[UUID, list[Step]] = field(default_factory=dict[UUID, "list[Step]"])
    """Plan of a pipeline → its steps."""
    items: dict[UUID, tuple[str, int]] = field(default_factory=dict[UUID, "tuple[str, int]"])
    """Task → state and version as the planner has them."""
    shown_tasks: dict[UUID, tuple[str, int]] = field(default_factory=dict[UUID, "tuple[str, int]"])
    shown_plans: dict[UUID, tuple[str, int]] = field(default_factory=dict[UUID, "tuple[str, int]"])
    runs: list[Run] = field(default_factory=list[Run])
    twice_seen: dict[str, int] = field(default_factory=dict[str, int])
    limits: list[Limit] = field(default_factory=list[Limit])
    changes: list[Change] = field(default_factory=list[Change])
    facts: list[PublishedState] = field(default_factory=list[PublishedState])
    unsent: dict[str, int] = field(default_factory=dict[str, int])
    parked: list[str] = field(default_factory=list[str])
    at: float = 0.0
    """When the evidence was read."""


# ---------------------------------------------------------------------- what was accepted is there, and ends


def right_requests_are_answered(evidence: Evidence) -> Findings:
    return list(evidence.unanswered)


def accepted_plans_are_there(evidence: Evidence) -> Findings:
    plans = {plan.id: plan for plan in evidence.plans}
    tasks = Counter(task.plan_id for task in evidence.tasks)
    found = [f"plan {id} was accepted and is not there" for id in evidence.requested if id not in plans]
    for id, count in evidence.requested.items():
        there = sum(plans[id].items.values()) if id in plans else 0
        if id in plans and count is not None and there != count:
            found.append(f"plan {id} has {there} of its {count} items")
        if id in plans and tasks[id] > there:
            found.append(f"plan {id} has {tasks[id]} tasks for {there} items")
    return found + [f"plan {id} was never asked for" for id in plans if id not in evidence.requested]


def all_terminal_or_legally_active(evidence: Evidence) -> Findings:
    """A task that is active has a reason: its plan is paused, or the engine's own record says that it runs."""
    paused = {plan.id for plan in evidence.plans if plan.state == "PAUSED" and plan.held}
    running = {run.run_key for run in evidence.runs if run.ends > evidence.at}
    found: Findings = []
    for task in evidence.tasks:
        legal = task.state in TASK_ENDS or (
            task.plan_id in evidence.left
            and (
                (task.state == "QUEUED" and task.plan_id in paused)
                or (task.state == "RUNNING" and run_key(task.id, task.attempt) in running)
            )
        )
        if not legal:
            found.append(f"task {task.id} ({task.item_key}) is {task.state}, attempt {task.attempt}")
    active = [plan for plan in evidence.plans if plan.state not in PLAN_ENDS and plan.id not in evidence.left]
    return found + [f"plan {plan.id} is {plan.state}" for plan in active]


def each_ended_as_its_script_demands(evidence: Evidence) -> Findings:
    """The engine's script decides what becomes of a task that nobody cancelled: not a kill, not a cut."""
    found: Findings = []
    for task in evidence.tasks:
        if task.cancelled or task.state not in TASK_ENDS:
            continue
        refused, failing = bool(task.script.get("refuse")), bool(task.script.get("exit_code"))
        wanted = "FAILED" if refused or failing else "SUCCEEDED"
        tries = (task.max_attempts if failing and not refused else 1) + task.faults
        if (task.state, task.attempt) != (wanted, tries):
            published = f"{task.state} in try {task.attempt}"
            found.append(f"task {task.id} ended {published}; its script says {wanted} in try {tries}")
    return found


# ---------------------------------------------------------------------- at the engine


def one_start_per_run_key(evidence: Evidence) -> Findings:
    counts = Counter(run.run_key for run in evidence.runs)
    return [f"{key} was started {count} times" for key, count in counts.items() if count > 1]


def starts_are_attempts(evidence: Evidence) -> Findings:
    """What ran is an attempt of a task, each attempt ran at most once, and what succeeded ran."""
    tasks = {task.id: task for task in evidence.tasks}
    known = {run_key(task.id, attempt) for task in evidence.tasks for attempt in range(1, task.attempt + 1)}
    found = [f"{run.run_key} is no attempt of a task" for run in evidence.runs if run.run_key not in known]
    per_task = Counter(run.task_id for run in evidence.runs)
    found += [
        f"task {id} was started {count} times in {tasks[id].attempt} attempts"
        for id, count in per_task.items()
        if id in tasks and count > tasks[id].attempt
    ]
    started = {run.run_key for run in evidence.runs}
    succeeded = [task for task in evidence.tasks if task.state == "SUCCEEDED"]
    return found + [
        f"task {task.id} succeeded and never ran" for task in succeeded if run_key(task.id, task.attempt) not in started
    ]


def one_live_run_per_task(evidence: Evidence) -> Findings:
    """At every sample, and at every instant the engines' records know of."""
    found = [f"task {task} was seen with {count} live runs" for task, count in evidence.twice_seen.items()]
    by_task: defaultdict[UUID, list[Run]] = defaultdict(list)
    for run in sorted(evidence.runs, key=lambda run: run.began):
        earlier = [one for one in by_task[run.task_id] if one.ends > run.began]
        if earlier:
            found.append(f"task {run.task_id}: {run.run_key} began while {earlier[-1].run_key} was live")
        by_task[run.task_id].append(run)
    return found


def limits_were_kept(evidence: Evidence) -> Findings:
    """Whenever a run begins, those live of its plan, and of its engine, are no more than the limit allowed.

    A limit that is lowered ends nothing, and what was claimed before may still start. So the limit that counts is the
    one in force when the newest of the live ones was claimed: the others were active then, and were counted.
    """
    plans = {task.id: task.plan_id for task in evidence.tasks}
    timeline = _timeline(evidence.limits)
    claims = _claims(evidence.changes)
    found: Findings = []
    live: defaultdict[str, list[Run]] = defaultdict(list)
    for run in sorted(evidence.runs, key=lambda run: run.began):
        for place in (f"plan {plans.get(run.task_id)}", f"engine {run.engine}"):
            live[place] = [*(one for one in live[place] if one.ends > run.began), run]
            newest = max(claims.get(one.run_key, one.began) for one in live[place])
            maximum = _in_force(timeline.get(place, []), newest)
            if len(live[place]) > maximum:
                found.append(f"{place}: {len(live[place])} live runs at {run.began:.3f}, limit {maximum}")
    return found


def _timeline(limits: Iterable[Limit]) -> dict[str, list[tuple[float, int]]]:
    found: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for limit in sorted(limits, key=lambda limit: limit.at):
        found[limit.of].append((limit.at, NO_LIMIT if limit.maximum is None else limit.maximum))
    return found


def _in_force(timeline: Sequence[tuple[float, int]], at: float) -> int:
    """The limit at that instant. Without any nothing may start."""
    position = bisect_right(timeline, at, key=lambda one: one[0])
    return timeline[position - 1][1] if position else 0


def _claims(changes: Iterable[Change]) -> dict[str, float]:
    """Run key → when its attempt was last claimed."""
    found: dict[str, float] = {}
    for change in changes:
        before, after = change.before, change.after
        if before and after and (before.state, after.state) == ("QUEUED", "CLAIMED"):
            found[run_key(change.task_id, after.attempt)] = change.at.timestamp()
    return found


# ---------------------------------------------------------------------- the steps of pipelines


def steps_ran_after_what_they_wait_for(evidence: Evidence) -> Findings:
    """A step begins at an engine when the runs of all it waits for have ended there, and only if they ended as awaited.

    A compensation waits for every other step, and for the success of the one it undoes.
    """
    spans = _spans(evidence)
    found: Findings = []
    for plan, steps in evidence.steps.items():
        states = {step.id: step.state for step in steps}
        for step in steps:
            if (plan, step.id) not in spans:
                continue
            began = spans[plan, step.id][0]
            for other, when in _awaited(step, steps):
                ended = spans.get((plan, other), (0.0, 0.0))[1]
                if ended > began:
                    found.append(f"plan {plan}: {step.id} began {ended - began:.3f} s before {other} had ended")
                if not _came(states[other], when):
                    found.append(f"plan {plan}: {step.id} ran; it waits for {other} {when}, which is {states[other]}")
    return found


def no_step_was_lost(evidence: Evidence) -> Findings:
    """Every step of an ended plan has ended, and one was skipped only where an awaited outcome did not come."""
    ends = {plan.id: plan.state for plan in evidence.plans if plan.state in PLAN_ENDS}
    found: Findings = []
    for plan, steps in evidence.steps.items():
        states = {step.id: step.state for step in steps}
        for step in steps if plan in ends else ():
            came = all(_came(states[other], when) for other, when in _awaited(step, steps))
            due = came and (step.compensates is None or ends[plan] in ("FAILED", "CANCELLED"))
            if step.state not in STEP_ENDS or (step.state == "SKIPPED" and due):
                found.append(f"plan {plan} is {ends[plan]}: its step {step.id} is {step.state}")
    return found


def _spans(evidence: Evidence) -> dict[tuple[UUID, str], tuple[float, float]]:
    """Plan and step → when the first run of the step began and the last one ended, by the engines' journals."""
    steps = {task.id: (task.plan_id, task.step) for task in evidence.tasks if task.step}
    found: dict[tuple[UUID, str], tuple[float, float]] = {}
    for run in evidence.runs:
        if (step := steps.get(run.task_id)) is not None:
            began, ended = found.get(step, (run.began, run.ends))
            found[step] = min(began, run.began), max(ended, run.ends)
    return found


def _awaited(step: Step, steps: Sequence[Step]) -> list[tuple[str, str]]:
    if step.compensates is None:
        return list(step.depends_on)
    others = [(other.id, "always") for other in steps if other.compensates is None]
    return [*others, (step.compensates, "on_success")]


def _came(state: str, when: str) -> bool:
    wanted = {"on_success": ("SUCCEEDED", "REUSED"), "on_failure": ("FAILED",)}.get(when, STEP_ENDS)
    return state in wanted


# ---------------------------------------------------------------------- what was recorded and said


def terminal_rows_never_change(evidence: Evidence) -> Findings:
    return [
        f"task {change.task_id} was {change.before.state} and became {change.after.state if change.after else 'gone'}"
        for change in evidence.changes
        if change.before and change.before.state in TASK_ENDS and change.before != change.after
    ]


def the_audit_is_a_path_of_the_model(evidence: Evidence) -> Findings:
    """Every change of a task is one that the model of the protocol makes."""
    return [str(finding) for finding in replay.judge(evidence.changes).findings]


def one_terminal_fact_per_task(evidence: Evidence) -> Findings:
    """Facts may be repeated; what they say of the end is one and the same, and is what the owner has."""
    published: defaultdict[UUID, set[PublishedState]] = defaultdict(set)
    for fact in evidence.facts:
        if fact.state in TASK_ENDS:
            published[fact.task_id].add(fact)
    found: Findings = []
    for task in evidence.tasks:
        ends = published.pop(task.id, set())
        wanted = 1 if task.state in TASK_ENDS else 0
        if len(ends) != wanted:
            found.append(f"task {task.id} is {task.state}; its facts say {len(ends)} ends")
        elif ends and {(one.state, one.version) for one in ends} != {(task.state, task.version)}:
            found.append(f"task {task.id} is {task.state} in version {task.version}; its facts say {next(iter(ends))}")
    return found + [f"a fact says an end of task {id}, which is not there" for id in published]


def readers_have_the_owners_version(evidence: Evidence) -> Findings:
    """The planner's items and the gateway's read model, each beside whoever owns it."""
    found: Findings = []
    for task in evidence.tasks:
        own = (task.state, task.version)
        for reader, has in (("planner", evidence.items), ("gateway", evidence.shown_tasks)):
            if has.get(task.id) != own:
                found.append(f"task {task.id} is {own}; the {reader} has {has.get(task.id)}")
    for plan in evidence.plans:
        if evidence.shown_plans.get(plan.id) != (plan.state, plan.version):
            shown = evidence.shown_plans.get(plan.id)
            found.append(f"plan {plan.id} is {(plan.state, plan.version)}; the gateway has {shown}")
    return found


def nothing_is_unsent(evidence: Evidence) -> Findings:
    return [f"{schema}: {count} messages in the outbox" for schema, count in evidence.unsent.items() if count]


def nothing_is_parked(evidence: Evidence) -> Findings:
    return list(evidence.parked)


RULES: Final[Mapping[str, Callable[[Evidence], Findings]]] = {
    "right requests are answered": right_requests_are_answered,
    "accepted plans are there, whole": accepted_plans_are_there,
    "every task terminal or legally active": all_terminal_or_legally_active,
    "each task ended as its script says": each_ended_as_its_script_demands,
    "engine starts per run key = 1": one_start_per_run_key,
    "every start is one attempt": starts_are_attempts,
    "live runs per task <= 1": one_live_run_per_task,
    "engine and plan limits never exceeded": limits_were_kept,
    "steps run after what they wait for": steps_ran_after_what_they_wait_for,
    "no step is lost": no_step_was_lost,
    "terminal rows unchanged": terminal_rows_never_change,
    "every change a step of the model": the_audit_is_a_path_of_the_model,
    "one terminal fact per task": one_terminal_fact_per_task,
    "read model = owner's version": readers_have_the_owners_version,
    "unsent outbox 0": nothing_is_unsent,
    "parked 0": nothing_is_parked,
}


def judge(evidence: Evidence) -> dict[str, Findings]:
    """Invariant → what does not hold; empty where it holds."""
    return {name: rule(evidence) for name, rule in RULES.items()}
