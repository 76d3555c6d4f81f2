"""What is decided about dates of coordinators that moved to Airflow."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from signalbox_contracts.definitions.move import LogicalDate, Move
from signalbox_contracts.definitions.selection import AirflowRuns, RerunRules, RoutedActions
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.plans import Decision
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_planner.moved_dates import (
    DATES_AT_ONCE,
    MovedDate,
    decide_moved,
    describe_moves,
    found_runs,
    look_ups,
    moved_date,
    moves_difference,
    used_moves,
)
from signalbox_planner.plan import Item
from signalbox_planner.preview import preview_hash
from signalbox_planner.rerun_decisions import DecidedItem, retried

PLAN, OTHER = UUID("01900000-0000-7000-8000-000000000001"), UUID("01900000-0000-7000-8000-000000000002")
COORDINATOR = "0000001-260101000000000-oozie-sb-C"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
QUEUED = "2026-04-02T03:00:00+00:00"
MOVE = Move.model_validate(
    {
        "id": "daily", "name": "daily", "engine": "ooz", "coordinator": "daily-load", "airflow_engine": "air",
        "dag_id": "daily", "moved_at": "2026-04-01T00:00:00Z", "logical_date": {"offset_days": -1},
        "conf": {"mode": "full"}, "nominal_time_key": "day",
    }
)  # fmt: skip


def selection(*moves: Move, denied: tuple[str, ...] = ()) -> RoutedActions:
    return RoutedActions(coordinators=(COORDINATOR,), moves=moves or (MOVE,), denied_engines=denied)


def date(day: int = 2, *, month: int = 4, denied: tuple[str, ...] = ()) -> MovedDate:
    """A moved date as an executor found it."""
    at = datetime(2026, month, day, tzinfo=UTC)
    logical = f"{at - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    item = ResolvedItem(
        key=f"{COORDINATOR}@{at:%Y-%m-%dT%H:%MZ}", target="daily", nominal_at=at,
        details={"object": "dag_run", "coordinator": COORDINATOR, "name": "daily-load", "move": "daily",
                 "logical_date": logical},
    )  # fmt: skip
    found = moved_date(item, selection(denied=denied))
    assert found is not None
    return found


def run(state: str = "failed", **details: Any) -> ResolvedItem:
    """What Airflow has of the date; `state` is empty for nothing."""
    return ResolvedItem(
        key="daily@x", target="scheduled__1" if state else "", engine_state=state,
        last_modified=QUEUED if state else None, details={"object": "dag_run", **details},
    )  # fmt: skip


def decided(found: ResolvedItem | str, owner: UUID | None = None, one: MovedDate | None = None, **rules: Any) -> Any:
    return decide_moved(one or date(), found, RerunRules.model_validate(rules), owner, NOW, oozie="ooz")


@pytest.mark.parametrize(
    ("state", "policy", "decision"),
    [
        ("", "missing", Decision.RUN),
        ("", "failed", Decision.RUN),
        ("", "all", Decision.RUN),
        ("failed", "missing", Decision.SKIP),
        ("failed", "failed", Decision.RUN),
        ("failed", "all", Decision.RUN),
        ("success", "missing", Decision.SKIP),
        ("success", "failed", Decision.SKIP),
        ("success", "all", Decision.RUN),
        ("running", "all", Decision.BLOCKED),
        ("queued", "missing", Decision.BLOCKED),
    ],
)
def test_the_policy_decides_by_the_run_of_the_date(state: str, policy: str, decision: Decision) -> None:
    one = decided(run(state), policy=policy)
    assert one.decision is decision
    assert (one.work is not None) == (decision is Decision.RUN)
    assert (one.engine, one.key, one.objects) == (
        "air", "air:daily@2026-04-01T00:00:00Z", ("daily@2026-04-01T00:00:00Z",),
    )  # fmt: skip
    assert (one.expected["lives_in"], one.expected["move"]) == ("airflow:daily", "daily")


def test_a_date_without_a_run_is_triggered_and_one_with_a_run_is_cleared_as_it_was_seen() -> None:
    assert decided(run("")).work == AirflowWork(
        dag_id="daily", logical_date="2026-04-01T00:00:00Z", conf={"mode": "full", "day": "2026-04-02T00:00:00Z"}
    )
    cleared = decided(run("failed")).work
    assert (cleared.mode, cleared.dag_run_id, cleared.clear_tasks) == ("clear", "scheduled__1", "all")
    assert cleared.expected_queued_at == datetime.fromisoformat(QUEUED)
    assert decided(run("failed"), scope="only_failed").work.clear_tasks == "failed"
    assert decided(run("success"), scope="only_failed", policy="all").decision is Decision.SKIP
    later = run("failed").model_copy(update={"last_modified": "2026-04-02T04:00:00+00:00"})
    assert preview_hash([decided(run("failed"))]) != preview_hash([decided(later)])


def test_what_cannot_run_is_blocked_with_the_reason() -> None:
    denied = decided("never looked up", one=date(denied=("air",)))
    assert (denied.decision, denied.engine) == (Decision.BLOCKED, "ooz"), "no item on an engine out of reach"
    assert "permission to start work on engine air" in denied.reason
    owned = decided(run(""), owner=OTHER)
    assert (owned.owner_plan, str(OTHER) in owned.reason) == (OTHER, True)
    for reason, one in (
        ("air: there is no DAG daily", decided("air: there is no DAG daily")),
        ("it is not due yet", decided(run(""), one=date(2, month=5))),
        ("scope 'nodes'", decided(run(), scope="nodes", nodes=["a"])),
        ("clean_up", decided(run(), clean_up=True)),
        ("properties", decided(run(), properties={"a": "b"})),
        ("run scheduled__1 is running", decided(run("running"))),
        ("cannot parse DAG daily", decided(run(import_errors=True))),
    ):
        assert one.decision is Decision.BLOCKED, reason
        assert reason in one.reason
    assert "the DAG is paused" in decided(run(paused=True)).reason


def test_each_date_is_looked_up_once_in_bounded_parts_and_none_of_an_engine_out_of_reach() -> None:
    assert look_ups([date(), date(), date(3, denied=("air",))]) == [
        ("air", AirflowRuns(dag_id="daily", dates=(datetime(2026, 4, 1, tzinfo=UTC),)))
    ]
    many = [
        MovedDate(date().item, MOVE, f"{NOW + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}", denied=False)
        for n in range(DATES_AT_ONCE + 1)
    ]
    assert [len(part.dates) for _, part in look_ups(many)] == [DATES_AT_ONCE, 1]


def test_an_answer_is_found_by_date_and_an_error_is_that_of_each_date() -> None:
    at = datetime(2026, 4, 1, tzinfo=UTC)
    wanted, answer = AirflowRuns(dag_id="daily", dates=(at,)), run().model_copy(update={"nominal_at": at})
    assert found_runs("air", wanted, [answer], None) == {("air", date().name): answer}
    assert found_runs("air", wanted, [], "no DAG") == {("air", date().name): "no DAG"}


def test_only_moves_that_a_preview_used_and_that_differ_are_a_difference() -> None:
    items: list[DecidedItem] = [decided(run())]
    assert used_moves(items) == {"daily"}
    renamed = MOVE.model_copy(update={"name": "x", "labels": {"a": "b"}})
    unused = MOVE.model_copy(update={"id": "unused"})
    assert moves_difference({"daily"}, [MOVE, unused], [renamed]) == []
    later = MOVE.model_copy(update={"moved_at": datetime(2026, 4, 2, tzinfo=UTC)})
    changed = moves_difference({"daily"}, [MOVE], [later])
    assert changed == [
        {"id": "daily", "was": {"moved_at": "2026-04-01T00:00:00Z"}, "is": {"moved_at": "2026-04-02T00:00:00Z"}}
    ]
    assert "move daily: moved_at was 2026-04-01T00:00:00Z, is 2026-04-02T00:00:00Z" in describe_moves(changed)
    (gone,) = moves_difference({"daily"}, [MOVE], [])
    assert gone["is"] is None
    assert "move daily was deleted" in describe_moves([gone])


def test_a_retry_of_a_dated_run_names_the_task_that_started_it() -> None:
    work = decided(run("")).work
    item = Item(PLAN, 0, "a", "air", work.model_dump_json())
    again = AirflowWork.model_validate_json(retried(item).work)
    assert again.after_tasks == (task_id(PLAN, "a"),)
    undated = item._replace(work=AirflowWork(dag_id="daily").model_dump_json())
    assert retried(undated) == undated


def test_a_day_of_the_coordinators_zone_may_have_23_hours() -> None:
    at, zone = datetime(2026, 3, 29, 22, tzinfo=UTC), ZoneInfo("Europe/Prague")  # midnight of the 30th
    day_before = LogicalDate(offset_days=-1)
    assert day_before.of(at, zone) == datetime(2026, 3, 28, 23, tzinfo=UTC), "midnight of the 29th, before the change"
    assert day_before.of(at, UTC) == datetime(2026, 3, 28, 22, tzinfo=UTC)
    assert LogicalDate(offset_minutes=-90).of(at, zone) == datetime(2026, 3, 29, 20, 30, tzinfo=UTC)
