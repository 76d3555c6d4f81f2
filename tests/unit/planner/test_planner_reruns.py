"""What a preview decides about what was found, its hash, the difference between two of them, and when a plan stops."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox_contracts.definitions.rules import Brake, Canary, Rules
from signalbox_contracts.definitions.selection import RerunRules
from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.plans import Counts, Decision
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_planner.brake import why_stop
from signalbox_planner.plan import Item
from signalbox_planner.preview import MAX_DIFFERENCES, counts, describe, difference, in_order, preview_hash
from signalbox_planner.rerun_decisions import ENDED, DecidedItem, decide, objects_of, retried

PLAN = UUID("01900000-0000-7000-8000-000000000001")
OTHER = UUID("01900000-0000-7000-8000-000000000002")
COORDINATOR = "0000001-260101000000000-oozie-sb-C"
WORKFLOW = "0000002-260101000000000-oozie-sb-W"


def action(number: int = 1, state: str = "KILLED", **details: Any) -> ResolvedItem:
    """An action of a coordinator as an executor found it."""
    values: dict[str, Any] = {
        "object": "coordinator", "coordinator": COORDINATOR, "coordinator_state": "DONEWITHERROR", "number": number,
        "workflow": WORKFLOW, "name": "north", **details,
    }  # fmt: skip
    return ResolvedItem(
        key=f"{COORDINATOR}@{number}", target=f"{COORDINATOR}@{number}", engine_state=state,
        nominal_at=datetime(2026, 1, number, tzinfo=UTC), last_modified="Thu, 01 Jan 2026 00:00:00 GMT",
        details={name: value for name, value in values.items() if value is not None},
    )  # fmt: skip


def workflow(state: str = "KILLED", **details: Any) -> ResolvedItem:
    return ResolvedItem(
        key=WORKFLOW, target=WORKFLOW, engine_state=state, run=3, last_modified="x", skip_nodes=("prepare",),
        details={"object": "workflow", "name": "load", **details},
    )  # fmt: skip


def decided(item: ResolvedItem, owner: UUID | None = None, **rules: Any) -> DecidedItem:
    return decide("ooz", item, RerunRules.model_validate(rules), owner)


@pytest.mark.parametrize(
    ("state", "policy", "decision"),
    [
        ("KILLED", "failed", Decision.RUN),
        ("TIMEDOUT", "failed", Decision.RUN),
        ("SUCCEEDED", "failed", Decision.SKIP),
        ("SUCCEEDED", "all", Decision.RUN),
        ("SKIPPED", "missing", Decision.RUN),
        ("KILLED", "missing", Decision.SKIP),
        ("RUNNING", "all", Decision.BLOCKED),
        ("WAITING", "all", Decision.BLOCKED),
    ],
)
def test_the_policy_decides_by_the_state(state: str, policy: str, decision: Decision) -> None:
    one = decided(action(state=state), policy=policy)
    assert one.decision is decision
    assert (one.work is not None) == (decision is Decision.RUN)
    assert state in one.reason


def test_what_runs_expects_the_world_as_it_was_found() -> None:
    work = decided(action()).work
    assert isinstance(work, OozieWork)
    assert work.expected is not None
    assert (work.object, work.target, work.clean_up) == ("coordinator", f"{COORDINATOR}@1", False)
    assert (work.expected.phase, work.expected.external_id) == ("KILLED", WORKFLOW)
    assert work.expected.last_modified == "Thu, 01 Jan 2026 00:00:00 GMT"
    work = decided(workflow(), scope="only_failed").work
    assert isinstance(work, OozieWork)
    assert work.expected is not None
    assert (work.object, work.scope, work.expected.run) == ("workflow", "only_failed", 3)


def test_what_a_live_plan_owns_a_closed_coordinator_and_a_missing_action_are_blocked_with_the_reason() -> None:
    owned = decided(action(), owner=OTHER)
    assert (owned.decision, owned.owner_plan) == (Decision.BLOCKED, OTHER)
    assert str(OTHER) in owned.reason
    closed = decided(action(coordinator_state="IGNORED"))
    assert (closed.decision, closed.owner_plan) == (Decision.BLOCKED, None)
    assert "IGNORED" in closed.reason
    missing = decided(action(state="", missing=True))
    assert missing.decision is Decision.BLOCKED
    assert "has not made this action" in missing.reason
    broken = decided(workflow(problem="nodes is empty"), scope="only_failed")
    assert (broken.decision, broken.reason) == (Decision.BLOCKED, "nodes is empty")


def test_a_child_workflow_is_left_to_its_parent_and_a_success_has_nothing_failed() -> None:
    child = decided(workflow(parent="0000009-260101000000000-oozie-sb-W"))
    assert child.decision is Decision.SKIP
    assert "0000009" in child.reason
    assert decided(workflow("SUCCEEDED"), policy="all", scope="only_failed").decision is Decision.SKIP


def test_a_clean_up_without_a_known_list_is_blocked_and_with_one_is_part_of_the_hash() -> None:
    assert decided(action(), clean_up=True).decision is Decision.BLOCKED
    listed = action().model_copy(update={"deletes": ("file:///out/1 (2 files, 10 bytes)",)})
    kept, cleaned = decided(listed), decided(listed, clean_up=True)
    assert (kept.deletes, cleaned.deletes) == ((), listed.deletes)
    assert isinstance(cleaned.work, OozieWork)
    assert cleaned.work.clean_up
    grown = decided(listed.model_copy(update={"deletes": ("file:///out/1 (3 files, 20 bytes)",)}), clean_up=True)
    assert preview_hash([cleaned]) != preview_hash([grown])


def test_one_piece_of_work_is_known_under_all_of_its_names() -> None:
    assert objects_of(action()) == (f"{COORDINATOR}@1", WORKFLOW)
    assert objects_of(workflow(parent=f"{COORDINATOR}@1")) == (f"{COORDINATOR}@1", WORKFLOW)


def test_a_retried_item_expects_what_its_own_task_moved() -> None:
    work = decided(action()).work
    assert work is not None
    item = Item(PLAN, 0, "a", "ooz", work.model_dump_json())
    again = retried(retried(item))
    assert again.work.count(str(task_id(PLAN, "a"))) == 2
    plain = Item(PLAN, 0, "a", "e1", '{"kind":"scripted"}')
    assert retried(plain) == plain


def test_exactly_what_changed_came_or_went_is_the_difference() -> None:
    before = [decided(action(number)) for number in (1, 2, 3)]
    after = [decided(action(1)), decided(action(2, "SUCCEEDED")), decided(action(4))]
    found: Any = difference(before, after)
    assert found is not None
    assert found["counts"] == {"changed": 1, "added": 1, "removed": 1}
    assert [one["key"] for one in found["changed"]] == [f"{COORDINATOR}@2"]
    assert (found["changed"][0]["was"]["decision"], found["changed"][0]["is"]["decision"]) == ("run", "skip")
    assert "1 changed, 1 added, 1 removed" in describe(found)
    assert difference(before, list(reversed(before))) is None


def test_a_long_difference_names_some_and_counts_all() -> None:
    before = [replace(decided(action(1)), key=f"k{number}") for number in range(MAX_DIFFERENCES + 20)]
    found: Any = difference(before, [])
    assert found is not None
    assert (found["counts"]["removed"], len(found["removed"])) == (MAX_DIFFERENCES + 20, MAX_DIFFERENCES)
    assert describe(found).endswith("and others")


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 28), st.sampled_from(sorted(ENDED))), max_size=8, unique_by=lambda one: one[0])
)
def test_the_hash_follows_the_content_and_not_the_order_of_the_answer(found: list[tuple[int, str]]) -> None:
    items = [decided(action(number, state)) for number, state in found]
    ordered = in_order(items)
    assert preview_hash(ordered) == preview_hash(in_order(reversed(items)))
    assert sum(counts(items).values()) == len(items)
    for number, item in enumerate(ordered):
        others = [*ordered[:number], replace(item, reason="another"), *ordered[number + 1 :]]
        assert preview_hash(others) != preview_hash(ordered)


def ended(succeeded: int, failed: int) -> Counts:
    return Counts(total=100, waiting=100 - succeeded - failed, succeeded=succeeded, failed=failed)


@pytest.mark.parametrize(
    ("counted", "stops"),
    [((1, 0), ""), ((0, 1), ""), ((0, 2), "the canary failed"), ((2, 0), ""), ((1, 1), "the canary failed")],
)
def test_a_plan_stops_after_its_canary_only_when_that_failed(counted: tuple[int, int], stops: str) -> None:
    assert why_stop(ended(*counted), Rules(canary=Canary(first=2))).startswith(stops)
    assert bool(why_stop(ended(*counted), Rules(canary=Canary(first=2)))) == bool(stops)


@pytest.mark.parametrize(
    ("counted", "stops"), [((0, 4), False), ((4, 1), True), ((5, 1), False), ((8, 2), True), ((100, 0), False)]
)
def test_the_brake_stops_at_its_ratio_and_not_before_enough_have_ended(counted: tuple[int, int], stops: bool) -> None:
    rules = Rules(brake=Brake(failure_ratio=0.2, after_items=5))
    assert bool(why_stop(ended(*counted), rules)) == stops
