"""The rules of a plan's life, for any order of events."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.messages.plans import Counts
from signalbox_contracts.states import PLAN_ENDS, TASK_ENDS, PlanState, TaskState
from signalbox_planner import lifecycle
from signalbox_planner.effects import PublishRules
from signalbox_planner.lifecycle import CommandRefused
from signalbox_planner.plan import Intake, Item, Plan, PlanSpec, RulesSync, StateChange

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANN = "user:ann"


def new(**changes: object) -> Plan:
    spec = PlanSpec(name="a list", actor=ANN, event_date=date(2026, 1, 1))
    plan = Plan(id=uuid.UUID(int=1), spec=spec, definitions_revision=1, created_at=NOW)
    return replace(lifecycle.accept(plan, NOW), **changes)  # pyright: ignore[reportArgumentType]


def stored(plan: Plan, items: int) -> Plan:
    return lifecycle.store_page(plan, 1, [Item(plan.id, n, f"item/{n}", "e1", "{}") for n in range(items)])


def dispatched(plan: Plan, **changes: int) -> Plan:
    return replace(plan, dispatch=replace(plan.dispatch, **changes))


def started(items: int, **changes: object) -> Plan:
    return lifecycle.start(stored(new(**changes), items), NOW)


ITEM_COUNT = 4
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("fact"), st.integers(0, ITEM_COUNT - 1), st.sampled_from(sorted(set(TaskState)))),
        st.tuples(st.just("send"), st.just(0), st.none()),
        st.tuples(st.just("confirm"), st.integers(0, 6), st.none()),
        st.tuples(st.sampled_from(["pause", "resume", "cancel", "kill", "rules", "drop"]), st.just(0), st.none()),
    ),
    max_size=40,
)


class World:
    """A plan with its items, as store and dispatcher would change them."""

    def __init__(self, *, one_job: bool) -> None:
        plan = started(ITEM_COUNT)
        self.plan = replace(plan, spec=plan.spec.model_copy(update={"fails_with_item": one_job}))
        self.items: list[TaskState | None] = [None] * ITEM_COUNT
        self.versions = [0] * ITEM_COUNT

    def apply(self, what: str, number: int, state: TaskState | None) -> None:
        plan, operation = self.plan, uuid.uuid4()
        if what == "fact":
            self.fact(number, state)
        elif what == "send" and lifecycle.dispatch_capacity(plan, 2):
            self.plan = lifecycle.sent(
                plan, 1, next_position=plan.dispatch.next_position + 1, unsent_end=plan.dispatch.unsent_end
            )
        elif what == "confirm":
            self.plan = lifecycle.confirm(plan, number, NOW)
        elif what == "drop" and plan.state is PlanState.CANCELLING:
            first = plan.dispatch.next_position
            unsent = [n for n in range(first, ITEM_COUNT) if self.items[n] is None]
            for n in unsent:
                self.items[n] = TaskState.CANCELLED
            changes = [StateChange(None, TaskState.CANCELLED, len(unsent))] if unsent else []
            self.plan = lifecycle.count(dispatched(plan, next_position=ITEM_COUNT), changes, NOW)
        else:
            self.command(what, operation)

    def command(self, what: str, operation: uuid.UUID) -> None:
        commands = {
            "pause": lambda: lifecycle.pause(self.plan, operation, ANN, "why", NOW),
            "resume": lambda: lifecycle.resume(self.plan, operation, ANN, "", NOW),
            "cancel": lambda: lifecycle.cancel(self.plan, operation, ANN, "", NOW, kill=False),
            "kill": lambda: lifecycle.cancel(self.plan, operation, ANN, "", NOW, kill=True),
            "rules": lambda: lifecycle.change_rules(self.plan, operation, Rules(limit=3), NOW),
        }
        if what in commands:
            try:
                self.plan = commands[what]()
            except CommandRefused:
                return
            waits = [one.operation_id for one in self.plan.rules.pending_operations]
            assert operation in (*self.plan.answered, *waits), "an operation that was taken is answered, now or later"

    def fact(self, number: int, state: TaskState | None) -> None:
        before = self.items[number]
        if state is None or before in TASK_ENDS or number >= self.plan.dispatch.next_position:
            return  # an end never moves, and nothing is said of what was not sent
        self.items[number] = state
        self.versions[number] += 1
        self.plan = lifecycle.count(self.plan, [StateChange(before, state, 1, 1)], NOW)


@settings(deadline=None)
@given(EVENTS, st.booleans())
def test_whatever_happens_counts_balance_and_transitions_follow_the_table(
    events: list[tuple[str, int, TaskState | None]], one_job: bool
) -> None:
    world = World(one_job=one_job)
    for what, number, state in events:
        before = world.plan
        world.apply(what, number, state)
        after = world.plan
        assert after.version >= before.version
        if before.state in PLAN_ENDS:
            assert (after.state, after.counts) == (before.state, before.counts), "an ended plan never moves"
        counts = after.counts
        of_items = [lifecycle.COUNTED_AS[state] for state in world.items]
        assert {name: getattr(counts, name) for name in set(of_items)} == {
            name: of_items.count(name) for name in set(of_items)
        }
        assert counts.total == ITEM_COUNT
        assert after.dispatch.task_versions == sum(world.versions)
        assert after.ended == all(state in TASK_ENDS for state in world.items)
    transitions = [PlanState.ACCEPTED, *(one.state for one in world.plan.transitions[1:])]
    assert all(b in lifecycle.TRANSITIONS[a] for a, b in itertools.pairwise(transitions))


@pytest.mark.parametrize(
    ("succeeded", "failed", "cancelled", "one_job", "end"),
    [
        (3, 0, 0, False, "SUCCEEDED"),
        (2, 1, 0, False, "COMPLETED_WITH_ERRORS"),
        (0, 3, 0, False, "COMPLETED_WITH_ERRORS"),
        (2, 0, 1, False, "COMPLETED_WITH_ERRORS"),
        (1, 0, 0, True, "SUCCEEDED"),
        (0, 1, 0, True, "FAILED"),
        (0, 0, 1, True, "CANCELLED"),
    ],
)
def test_a_plan_is_green_only_when_everything_succeeded(
    succeeded: int, failed: int, cancelled: int, one_job: bool, end: str
) -> None:
    total = succeeded + failed + cancelled
    plan = started(total)
    plan = replace(plan, spec=plan.spec.model_copy(update={"fails_with_item": one_job}))
    plan = dispatched(plan, next_position=total)
    changes = [
        StateChange(None, state, items, items)
        for state, items in (
            (TaskState.SUCCEEDED, succeeded), (TaskState.FAILED, failed), (TaskState.CANCELLED, cancelled),
        )
        if items
    ]  # fmt: skip
    assert lifecycle.count(plan, changes, NOW).state == end


def test_a_plan_is_paused_only_when_its_rules_are_confirmed() -> None:
    """Were it said before, somebody would read PAUSED while an executor still starts tasks."""
    operation = uuid.uuid4()
    paused = lifecycle.pause(started(2), operation, ANN, "lunch", NOW)
    assert (paused.state, paused.answered) == (PlanState.RUNNING, ())
    assert lifecycle.confirm(paused, 1, NOW).state is PlanState.RUNNING
    confirmed = lifecycle.confirm(paused, 2, NOW)
    assert (confirmed.state, confirmed.answered) == (PlanState.PAUSED, (operation,))
    assert lifecycle.dispatch_capacity(confirmed, 100) == 0


def test_a_confirmation_of_rules_that_were_never_sent_confirms_nothing() -> None:
    plan = started(2)
    assert lifecycle.confirm(plan, 7, NOW) is plan


def test_the_window_bounds_what_is_sent_and_grows_with_the_limit() -> None:
    plan = started(50_000)
    assert lifecycle.dispatch_capacity(plan, 1000) == 1000
    assert lifecycle.dispatch_capacity(dispatched(plan, live_tasks=1000, next_position=1000), 1000) == 0
    assert lifecycle.dispatch_capacity(dispatched(plan, live_tasks=900, next_position=1000), 1000) == 0, (
        "no small refills"
    )
    assert lifecycle.dispatch_capacity(replace(plan, rules=RulesSync(Rules(limit=4000))), 1000) == 8000
    assert lifecycle.dispatch_capacity(replace(plan, rules=RulesSync(Rules(limit=90_000))), 1000) == 20_000


def test_what_is_left_to_send_may_shrink_from_both_ends() -> None:
    """The order may be changed while a plan runs: nothing is sent twice, nothing is left."""
    plan = lifecycle.sent(started(10), 3, next_position=3, unsent_end=10)
    plan = lifecycle.sent(plan, 2, next_position=3, unsent_end=8)
    assert [lifecycle.was_sent(plan, n) for n in range(10)] == [True] * 3 + [False] * 5 + [True] * 2
    assert lifecycle.dispatch_capacity(plan, 8) == 3
    assert lifecycle.dispatch_capacity(lifecycle.sent(plan, 5, next_position=8, unsent_end=8), 100) == 0


def test_cancelling_what_has_not_started_ends_it_at_once() -> None:
    plan = stored(new(intake=Intake(pages=2)), 3)
    ended = lifecycle.cancel(plan, uuid.uuid4(), ANN, "", NOW, kill=False)
    assert ended.state is PlanState.CANCELLED
    assert ended.counts == Counts(total=3, cancelled=3)


def test_rules_are_republished_until_the_newest_are_confirmed_and_the_close_as_well() -> None:
    later = NOW + timedelta(seconds=5)
    plan = lifecycle.confirm(started(1), 1, NOW)
    assert plan.rules.published_at is None
    operation = uuid.uuid4()
    changed = lifecycle.change_rules(plan, operation, Rules(limit=3), later)
    assert changed.rules.published_at == later
    assert (
        lifecycle.confirm(replace(changed, rules=replace(changed.rules, confirmed=0)), 1, later).rules.published_at
        == later
    )
    assert lifecycle.confirm(changed, 2, later).rules.published_at is None
    sent = lifecycle.sent(changed, 1, next_position=1, unsent_end=1)
    ended = lifecycle.count(sent, [StateChange(None, TaskState.SUCCEEDED, 1, 1)], later)
    assert (ended.state, ended.rules.published_at) == (PlanState.SUCCEEDED, later)
    assert PublishRules() in ended.effects, "an ended plan closes its rules"
    assert lifecycle.confirm(ended, 2, later).rules.published_at == later, (
        "only the rules that close it confirm the end"
    )
    closed = lifecycle.confirm(ended, 3, later)
    assert (closed.rules.published_at, closed.rules.confirmed, closed.answered) == (None, 2, (operation,))
    assert lifecycle.confirm(closed, 3, later) is closed
