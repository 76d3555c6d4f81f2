"""The judge of chaos runs: sound evidence passes every rule, and each rule sees its own kind of harm."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from chaos.engine_runs import Run, task_of
from chaos.judge import RULES, Evidence, Limit, Plan, PublishedState, Step, Task, judge
from signalbox_contracts.ids import run_key
from support.audit import Audited, Change

PLAN, FIRST, SECOND = uuid4(), uuid4(), uuid4()
OWNER = uuid4()
UNDO = Step("undo", "SKIPPED", compensates="a")


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def row(state: str, version: int, **more: Any) -> Audited:
    usual: dict[str, Any] = {
        "attempt": 1, "fence": 0, "owner": None, "sends": 0, "cancelled": False, "kill": False, "handle": None,
        "stopping": False, "cause": None, "faults": 0, "max_attempts": 1, "infrastructure_attempts": 10,
    }  # fmt: skip
    return Audited(state=state, version=version, **{**usual, **more})


def life(task: UUID, *, began: float) -> list[Change]:
    """Queued, claimed, submitting, running, succeeded."""
    path = [
        row("QUEUED", 1),
        row("CLAIMED", 2, fence=1, owner=OWNER),
        row("SUBMITTING", 3, fence=1, owner=OWNER, sends=1),
        row("RUNNING", 4, fence=1, sends=1, handle="run-1"),
        row("SUCCEEDED", 5, fence=1, sends=1, handle="run-1", cause="completed"),
    ]
    pairs = zip([None, *path], path, strict=False)
    return [
        Change(serial=0, task_id=task, txid=n, at=at(began + n / 10), writer="one", before=before, after=after)
        for n, (before, after) in enumerate(pairs)
    ]


def task(id: UUID) -> Task:
    step = "a" if id == FIRST else "b"
    return Task(id, PLAN, str(id), "north", "SUCCEEDED", 5, 1, 1, 0, False, {}, step)


def sound() -> Evidence:
    """Two tasks of one plan with limit 1, one after the other."""
    changes = [*life(FIRST, began=10), *life(SECOND, began=20)]
    both = (FIRST, SECOND)
    return Evidence(
        requested={PLAN: 2},
        tasks=[task(id) for id in both],
        plans=[Plan(PLAN, "SUCCEEDED", 9, False, {"SUCCEEDED": 2})],
        steps={PLAN: [Step("a", "SUCCEEDED"), Step("b", "SUCCEEDED", (("a", "on_success"),)), UNDO]},
        items=dict.fromkeys(both, ("SUCCEEDED", 5)),
        shown_tasks=dict.fromkeys(both, ("SUCCEEDED", 5)),
        shown_plans={PLAN: ("SUCCEEDED", 9)},
        runs=[
            Run("north", run_key(FIRST, 1), FIRST, 10.25, 10.3),
            Run("north", run_key(SECOND, 1), SECOND, 20.25, 20.3),
        ],
        limits=[Limit(1, f"plan {PLAN}", 1), Limit(1, "engine north", 5)],
        changes=[replace(change, serial=n) for n, change in enumerate(changes, 1)],
        facts=[PublishedState(id, 5, "SUCCEEDED", 1, "completed") for id in both for _ in range(2)],
        unsent={"executor": 0},
        at=100,
    )


def broken_by(evidence: Evidence) -> set[str]:
    return {name for name, found in judge(evidence).items() if found}


def first_task(evidence: Evidence, **changes: Any) -> None:
    evidence.tasks[0] = replace(evidence.tasks[0], **changes)


def first_run(evidence: Evidence, **changes: Any) -> None:
    evidence.runs[0] = replace(evidence.runs[0], **changes)


def step(evidence: Evidence, number: int, **changes: Any) -> None:
    steps = evidence.steps[PLAN]
    steps[number] = replace(steps[number], **changes)


def test_sound_evidence_breaks_nothing() -> None:
    assert broken_by(sound()) == set()


HARM: dict[str, list[Callable[[Evidence], Any]]] = {
    "right requests are answered": [lambda e: e.unanswered.append("POST /plans: 503")],
    "accepted plans are there, whole": [
        lambda e: e.requested.update({uuid4(): 1}),
        lambda e: e.requested.update({PLAN: 3}),
        lambda e: e.requested.clear(),
    ],
    "every task terminal or legally active": [
        lambda e: first_task(e, state="RUNNING"),
        lambda e: first_task(e, state="QUEUED"),
        lambda e: e.plans.__setitem__(0, replace(e.plans[0], state="RUNNING")),
    ],
    "each task ended as its script says": [
        lambda e: first_task(e, script={"exit_code": 3}),
        lambda e: first_task(e, state="FAILED"),
        lambda e: first_task(e, attempt=2),
    ],
    "engine starts per run key = 1": [lambda e: e.runs.append(e.runs[0])],
    "every start is one attempt": [
        lambda e: first_run(e, run_key=run_key(FIRST, 2)),
        lambda e: e.runs.pop(),
        lambda e: e.runs.append(replace(e.runs[0], run_key=f"{e.runs[0].run_key}-f2")),
    ],
    "live runs per task <= 1": [
        lambda e: e.twice_seen.update({str(FIRST): 2}),
        lambda e: e.runs.append(replace(e.runs[0], run_key=run_key(FIRST, 2), began=10.28, ends=11)),
    ],
    "engine and plan limits never exceeded": [
        lambda e: first_run(e, ends=21),
        lambda e: e.limits.append(Limit(5, "engine north", 0)),
        lambda e: e.limits.clear(),
    ],
    "steps run after what they wait for": [
        lambda e: first_run(e, ends=20.26),
        lambda e: step(e, 0, state="FAILED"),
        lambda e: step(e, 1, depends_on=(("a", "on_failure"),)),
        lambda e: step(e, 1, compensates="a", depends_on=(), state="SUCCEEDED") or step(e, 0, state="SKIPPED"),
    ],
    "no step is lost": [
        lambda e: step(e, 1, state="WAITING"),
        lambda e: step(e, 1, state="SKIPPED"),
        lambda e: e.plans.__setitem__(0, replace(e.plans[0], state="FAILED")),
    ],
    "terminal rows unchanged": [
        lambda e: e.changes.append(
            Change(99, FIRST, 99, at(99), "one", row("SUCCEEDED", 5, fence=1), row("QUEUED", 6, fence=1))
        ),
    ],
    "every change a step of the model": [lambda e: e.changes.pop(2)],
    "one terminal fact per task": [
        lambda e: e.facts.clear(),
        lambda e: e.facts.append(PublishedState(FIRST, 6, "FAILED", 1, "failed")),
        lambda e: e.facts.append(PublishedState(uuid4(), 5, "SUCCEEDED", 1, "completed")),
    ],
    "read model = owner's version": [
        lambda e: e.items.pop(FIRST),
        lambda e: e.shown_tasks.update({FIRST: ("RUNNING", 4)}),
        lambda e: e.shown_plans.clear(),
    ],
    "unsent outbox 0": [lambda e: e.unsent.update(planner=1)],
    "parked 0": [lambda e: e.parked.append("planner: a message")],
}
CASES = [(rule, number) for rule, ways in HARM.items() for number in range(len(ways))]


@pytest.mark.parametrize(("rule", "number"), CASES)
def test_each_rule_sees_its_own_harm(rule: str, number: int) -> None:
    evidence = sound()
    HARM[rule][number](evidence)
    assert rule in broken_by(evidence)


def test_every_rule_has_harm_that_it_must_see() -> None:
    assert set(HARM) == set(RULES)


def test_a_lowered_limit_counts_for_what_is_claimed_after_it_and_not_for_what_runs() -> None:
    """A limit that is lowered ends nothing: what was claimed under the old one may even start after the change."""
    evidence = sound()
    evidence.steps = {}
    evidence.limits = [Limit(1, f"plan {PLAN}", 2), Limit(1, "engine north", 5), Limit(20.2, f"plan {PLAN}", 1)]
    first_run(evidence, ends=30)
    assert broken_by(evidence) == set(), "the second was claimed at 20.1, under a limit of 2, and began at 20.25"
    evidence.limits[-1] = Limit(20.05, f"plan {PLAN}", 1)
    assert broken_by(evidence) == {"engine and plan limits never exceeded"}


def test_what_is_left_active_is_legal_only_where_it_was_to_be_left_and_truly_is() -> None:
    evidence = sound()
    evidence.left = {PLAN}
    first_task(evidence, state="RUNNING")
    assert "every task terminal or legally active" in broken_by(evidence), "its run has ended"
    first_run(evidence, ends=float("inf"))
    assert "every task terminal or legally active" not in broken_by(evidence)
    evidence.left = set()
    assert "every task terminal or legally active" in broken_by(evidence)


def test_a_run_key_names_its_task_whatever_follows() -> None:
    assert task_of(run_key(FIRST, 12)) == FIRST
    assert task_of(f"{run_key(FIRST, 1)}-f7") == FIRST
