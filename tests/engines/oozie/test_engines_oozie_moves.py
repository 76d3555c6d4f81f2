"""A coordinator of a real Oozie that moved to a DAG of a real Airflow: one plan reruns its dates where they live."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engines.airflow.harness import Harness
from engines.oozie.product import ENDS, actions, apply, command_line, gated_coordinator, items, plan_in, preview
from engines.oozie.world import World, until
from support.full_stack import FullStack

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
DAG = "pipeline"
DATES = [["2026-01-01T00:00:00Z", "2026-01-09T00:00:00Z"]]
MOVE: dict[str, Any] = {
    "id": "gates", "name": "Gates", "engine": "ooz", "coordinator": "cgate-a", "airflow_engine": "airflow",
    "dag_id": DAG, "moved_at": "2026-01-06T00:00:00Z", "logical_date": {"offset_days": -1}, "conf": {"limit": 7},
    "nominal_time_key": "day",
}  # fmt: skip


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    """A real Airflow that the executor of this module's stack may log in to."""
    with Harness.started(tmp_path_factory.mktemp("airflow")) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.settings.items():
            patch.setenv(name.removeprefix("SIGNALBOX_"), value)
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(airflow: Harness, stack: FullStack) -> AsyncGenerator[FullStack]:
    """The stack with both engines, and the coordinator's move. The gateway has registered Airflow by its variables."""
    connection = {"kind": "airflow", "url": airflow.server.url, "access": {"timeout_seconds": 90}}
    await stack.ask("PUT", "/engines/airflow", {"connection": connection, "observe_every_seconds": 0.5})
    await stack.ask("POST", "/moves", MOVE)
    yield stack


async def runs_by_date(airflow: Harness) -> dict[str, Any]:
    """The runs of the DAG by the day of their logical date."""
    found = await airflow.api("GET", f"/dags/{DAG}/dagRuns?limit=100")
    return {run["logical_date"][:10]: run for run in found["dag_runs"] if run["logical_date"]}


async def ended_run(airflow: Harness, date: str, state: str, **conf: Any) -> Any:
    """A run that somebody else started, once it has ended so."""
    await airflow.api("POST", f"/dags/{DAG}/dagRuns", {"logical_date": f"{date}T00:00:00Z", "conf": conf})
    return (await until(lambda: runs_by_date(airflow), lambda runs: runs[date]["state"] == state, 180))[date]


async def test_each_date_is_rerun_where_it_lives_and_a_changed_move_is_refused(
    world: World, both: FullStack, airflow: Harness, tmp_path: Path
) -> None:
    coordinator = await gated_coordinator(world, 5, {2, 3})
    succeeded = await ended_run(airflow, "2026-01-06", "success")
    failed = await ended_run(airflow, "2026-01-07", "failed", failures={"load": 2})
    for day in (2, 3):
        world.open_gate(day)

    selection = {**actions(coordinator, scope="skip_successful"), "dates": DATES}
    plan = await preview(both, selection, rules={"limit": 2})
    assert plan["state"] == "PREVIEWED", plan["reason"]
    decided = [(one["key"], one["decision"], one["expected"]["lives_in"]) for one in await items(both, plan)]
    home = f"airflow:{DAG}"
    assert decided == [
        (f"{coordinator}@1", "skip", "oozie"),
        (f"{coordinator}@2", "run", "oozie"),
        (f"{coordinator}@3", "run", "oozie"),
        (f"{coordinator}@4", "skip", "oozie"),
        (f"{coordinator}@5", "skip", "oozie"),
        (f"{home}@2026-01-05T00:00:00Z", "run", home),
        (f"{home}@2026-01-06T00:00:00Z", "skip", home),
        (f"{home}@2026-01-07T00:00:00Z", "run", home),
        (f"{home}@2026-01-08T00:00:00Z", "run", home),
    ]
    ended = await apply(both, plan)
    assert (ended["state"], ended["counts"]["succeeded"]) == ("SUCCEEDED", 5), ended["reason"]
    runs = await runs_by_date(airflow)
    assert {date: run["state"] for date, run in runs.items()} == dict.fromkeys(
        ("2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"), "success"
    )
    assert runs["2026-01-06"] == succeeded, "a success is left alone"
    assert runs["2026-01-07"]["dag_run_id"] == failed["dag_run_id"], "a failed run is cleared, not started again"
    started = runs["2026-01-05"]
    assert started["dag_run_id"].startswith("sb-")
    assert (started["conf"]["limit"], started["conf"]["day"]) == (7, "2026-01-06T00:00:00Z")
    states = {one["actionNumber"]: one["status"] for one in (await world.hands.info(coordinator))["actions"]}
    assert set(states.values()) == {"SUCCEEDED"}

    words = ["rerun", "--engine", "ooz", "--coordinator", coordinator, "--policy", "all", "--preview"]
    shown = await command_line(both, tmp_path, *words, "--from", DATES[0][0], "--until", DATES[0][1])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count(home) >= 4
    assert "9 of 9 would run" in shown.stderr

    everything = await preview(both, {**actions(coordinator, policy="all"), "dates": DATES})
    await both.ask("PUT", "/moves/gates", {**MOVE, "moved_at": "2026-01-07T00:00:00Z", "conf": {"limit": 8}})
    refused = await apply(both, everything)
    assert refused["state"] == "REFUSED"
    assert refused["difference"]["moves"] == [
        {
            "id": "gates",
            "was": {"moved_at": "2026-01-06T00:00:00Z", "conf": {"limit": 7}},
            "is": {"moved_at": "2026-01-07T00:00:00Z", "conf": {"limit": 8}},
        }
    ]
    assert "move gates: moved_at was 2026-01-06T00:00:00Z, is 2026-01-07T00:00:00Z" in refused["reason"]
    assert await runs_by_date(airflow) == runs, "nothing ran"


async def test_what_fails_in_airflow_is_retried_in_a_linked_plan(
    world: World, both: FullStack, airflow: Harness
) -> None:
    """A second run of the same date is impossible: the failed one is cleared."""
    coordinator = await gated_coordinator(world, 2, set())
    move = {**MOVE, "coordinator": coordinator, "id": "twice", "moved_at": "2026-01-02T00:00:00Z"}
    move |= {"logical_date": {"offset_days": 100}, "conf": {"failures": {"load": 4}}}
    await both.ask("POST", "/moves", move)
    dates = [["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]]
    plan = await preview(both, {**actions(coordinator), "dates": dates}, retries={"max_attempts": 2})
    ended = await apply(both, plan)
    assert (ended["state"], ended["counts"]["failed"]) == ("COMPLETED_WITH_ERRORS", 1)
    run = (await runs_by_date(airflow))["2026-04-12"]
    child = await both.ask("POST", f"/plans/{plan['id']}/retry", {})
    retried = await plan_in(both, child["id"], ENDS, 180)
    assert retried["state"] == "SUCCEEDED", retried["reason"]
    again = (await runs_by_date(airflow))["2026-04-12"]
    assert (again["dag_run_id"], again["state"]) == (run["dag_run_id"], "success")
