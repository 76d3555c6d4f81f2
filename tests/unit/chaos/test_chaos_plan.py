"""The plan of faults and of load: one seed, one plan."""

from chaos import plan
from chaos.faults import Kind, only, service_of
from chaos.run import FULL, SHORT, faults_of
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_planner.graph import graph_of

ENGINES = ["north", "south"]


def test_one_seed_is_one_plan_and_another_seed_is_another() -> None:
    assert faults_of(SHORT, 7) == faults_of(SHORT, 7)
    assert faults_of(SHORT, 7) != faults_of(SHORT, 8)
    stories_of_run = plan.stories(7, tasks=300, seconds=30, engines=ENGINES)
    assert stories_of_run == plan.stories(7, tasks=300, seconds=30, engines=ENGINES)
    assert stories_of_run != plan.stories(8, tasks=300, seconds=30, engines=ENGINES)


def test_leaving_kinds_out_moves_no_other_fault() -> None:
    complete = faults_of(FULL, 7)
    assert faults_of(FULL, 7, frozenset({Kind.KILL, Kind.CUT})) == only(complete, {Kind.KILL, Kind.CUT})
    assert len(only(complete, {Kind.KILL})) == FULL.amounts[Kind.KILL]


def test_the_faults_come_in_order_within_the_time_and_as_many_as_asked_for() -> None:
    faults = faults_of(FULL, 7)
    assert faults == sorted(faults, key=lambda fault: fault.at)
    assert all(0 < fault.at < FULL.seconds for fault in faults)
    assert {kind: sum(fault.kind is kind for fault in faults) for kind in FULL.amounts} == FULL.amounts


def test_the_full_profile_has_the_amounts_that_were_asked_for() -> None:
    amounts = FULL.amounts
    assert FULL.tasks >= 3000
    assert amounts[Kind.KILL] + amounts[Kind.CRASH] >= 40
    assert amounts[Kind.FREEZE] >= 10
    assert amounts[Kind.POSTGRES] >= 5
    assert amounts[Kind.BROKER] + amounts[Kind.KAFKA] >= 5


def test_a_freeze_outlasts_the_leases_and_a_crash_names_a_point_of_its_own_service() -> None:
    faults = faults_of(FULL, 7)
    assert all(fault.seconds >= 4.5 for fault in faults if fault.kind is Kind.FREEZE)
    points = {fault.detail.partition(":")[0]: service_of(fault.target) for fault in faults if fault.kind is Kind.CRASH}
    assert {service for point, service in points.items() if point.startswith("executor.")} == {"executor"}


def test_the_stories_have_at_least_the_tasks_and_leave_two_plans_active() -> None:
    stories_of_run = plan.stories(7, tasks=300, seconds=30, engines=ENGINES)
    graphs = plan.pipelines(7, engines=ENGINES)
    sizes = [graphs[story.pipeline].items if story.pipeline else len(story.items) or 1 for story in stories_of_run]
    assert sum(sizes) == 300
    assert sum(bool(story.pipeline) for story in stories_of_run) == 7
    assert [story.number for story in stories_of_run if story.left] == [1, 0]
    keys = [item["key"] for story in stories_of_run for item in story.items]
    assert len(set(keys)) == len(keys)


def test_the_pipelines_of_a_run_are_right_and_have_the_items_they_say() -> None:
    for seed in range(20):
        for one in plan.pipelines(seed, engines=ENGINES).values():
            graph = graph_of(Pipeline.model_validate(one.definition))
            assert graph.end_position == one.items


def test_only_what_is_killed_may_run_for_ever() -> None:
    for story in plan.stories(7, tasks=3000, seconds=30, engines=ENGINES):
        endless = any(item["work"]["script"].get("never_ends") for item in story.items)
        assert not endless or story.left or any(deed.body.get("kill") for deed in story.deeds)
