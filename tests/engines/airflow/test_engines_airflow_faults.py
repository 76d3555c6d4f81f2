"""One run per run key on a real Airflow, whatever is lost, refused, restarted or away."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from engines.airflow.distribution import wanted_major
from engines.airflow.harness import Harness
from engines.airflow.scenarios import new_submission, observe, pipeline, run_of, see
from engines.harness import until
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.airflow.client import Credentials
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Phase, Submission, Watched

pytestmark = pytest.mark.engine
ROUNDS = 7
HELD = "held"
"""A DAG that is paused: its runs stay queued, so that hundreds of them cost nothing."""


@pytest.mark.parametrize("killed", ["before the call", "before the answer", "before the record"])
async def test_a_submitter_killed_anywhere_leaves_one_run_a_key(harness: Harness, killed: str) -> None:
    """Each round a submitter dies at this point, and two others take over at once, as after an expired lease."""
    keys = [new_submission(AirflowWork(dag_id=HELD, conf={"round": number})) for number in range(ROUNDS)]
    handles: set[str] = set()
    for submission in keys:
        if killed != "before the call":
            dying = harness.deaf_engine("/dagRuns" if killed == "before the answer" else "/nothing")
            await asyncio.gather(dying.submit(submission), return_exceptions=True)
            await dying.close()
        first, second = harness.fresh_engine(), harness.fresh_engine()
        found = await asyncio.gather(submit(first, submission), submit(second, submission))
        assert found[0] == found[1]
        handles.add(found[0])
        seen = await observe(second, submission)  # without its handle
        assert (seen.phase, seen.handle) == (Phase.SUBMITTED, found[0])
        await asyncio.gather(first.close(), second.close())
    assert len(handles) == ROUNDS
    runs = await harness.api("POST", "/dags/~/dagRuns/list", {"dag_ids": [HELD], "page_limit": 5000})
    ours = [run["dag_run_id"] for run in runs["dag_runs"] if run["conf"].get("round") is not None]
    assert all(ours.count(submission.run_key) == 1 for submission in keys)


async def submit(engine: AirflowEngine, submission: Submission) -> str:
    """As the executor does: again, if there is no answer. 2.x answers 500 to one of two equal starts at once."""
    while True:
        with suppress(EngineUnavailable):
            return await engine.submit(submission)


async def test_a_foreign_run_with_our_id_is_a_conflict_and_never_ours(harness: Harness) -> None:
    submission = new_submission(AirflowWork(dag_id=HELD))
    date = {} if harness.server.major == 2 else {"logical_date": None}
    body = {"dag_run_id": submission.run_key, "conf": {"of": "somebody else"}, **date}
    await harness.api("POST", f"/dags/{HELD}/dagRuns", body)
    with pytest.raises(EngineRefused, match="that we did not start") as refused:
        await harness.adapter.submit(submission)
    assert refused.value.field == "run_key"
    assert (await observe(harness.adapter, submission, f"{HELD}/{submission.run_key}")).phase is Phase.LOST
    assert (await observe(harness.adapter, submission)).phase is Phase.LOST
    assert (await run_of(harness, HELD, submission.run_key))["state"] == "queued"


async def test_a_logical_date_that_is_taken_is_a_refusal_and_no_run_of_ours(harness: Harness) -> None:
    """Airflow's 409 does not say which of its two constraints it means."""
    first, second = (new_submission(AirflowWork(dag_id=HELD, logical_date="2026-01-02T03:04:05Z")) for _ in range(2))
    handle = await harness.adapter.submit(first)
    assert await harness.adapter.submit(first) == handle
    with pytest.raises(EngineRefused, match="another run of DAG held has this logical date") as refused:
        await harness.adapter.submit(second)
    assert refused.value.field == "work.logical_date"
    assert await run_of(harness, HELD, second.run_key) == {}


@pytest.mark.skipif(wanted_major() == 2, reason="Airflow 2 has no tokens: every call carries the password")
@pytest.mark.parametrize("how", ["expired", "of another secret"])
async def test_a_token_that_is_not_taken_any_more_is_renewed_once_for_all(harness: Harness, how: str) -> None:
    client = harness.client()
    client.tokens.clear()
    client.use_token(harness.server.expired_token() if how == "expired" else "e30.e30.e30")
    engine = AirflowEngine(client)
    submissions = [new_submission(AirflowWork(dag_id=HELD)) for _ in range(4)]
    handles = await asyncio.gather(*(engine.submit(submission) for submission in submissions))
    assert len(set(handles)) == 4
    assert len(client.tokens) == 1
    await engine.close()


async def test_a_wrong_password_is_reported_and_starts_nothing(harness: Harness) -> None:
    client = harness.client_as(Credentials(username="admin", password="guess"))
    engine, submission = AirflowEngine(client), new_submission(pipeline())
    with pytest.raises(EngineUnavailable, match="username 'admin' and its password are not accepted") as unavailable:
        await engine.submit(submission)
    assert not unavailable.value.may_have_arrived
    assert "guess" not in str(unavailable.value)
    await engine.close()
    assert await run_of(harness, "pipeline", submission.run_key) == {}


@pytest.mark.parametrize("count", [120, pytest.param(500, marks=pytest.mark.long)])
async def test_many_runs_are_tracked_by_their_changes_in_three_calls_a_pass(harness: Harness, count: int) -> None:
    """More active runs than one page of changes holds. A change is seen in the pass that follows, within 5 s."""
    engine = harness.fresh_engine()
    submissions = [new_submission(AirflowWork(dag_id=HELD)) for _ in range(count)]
    at_once = asyncio.Semaphore(6)

    async def submit(number: int) -> str:
        async with at_once:
            return await engine.submit(submissions[number])

    handles = await asyncio.gather(*map(submit, range(count)))
    runs = [Watched(run.run_key, 1, handle) for run, handle in zip(submissions, handles, strict=True)]
    watcher = harness.fresh_engine(fresh_seconds=0)
    seen = await watcher.observe(runs)
    assert {one.phase for one in seen.values()} == {Phase.SUBMITTED}
    assert watcher.tracker.calls <= 3
    watcher.tracker.overlap = timedelta(seconds=2)
    changed = runs[:3]
    for one in changed:
        await engine.cancel(one)
    began = time.monotonic()
    found = await watcher.observe(runs)
    assert time.monotonic() - began < 5
    assert watcher.tracker.calls <= 3
    assert {key for key, one in found.items() if one.phase is Phase.KILLED} == {one.run_key for one in changed}
    await _quiet(watcher, runs)
    assert watcher.tracker.calls == 1, "a pass without many changes takes one call"
    await harness.api("DELETE", f"/dags/{HELD}/dagRuns/{runs[5].run_key}")
    watcher.tracker.list_seconds = 0  # as after half a minute
    deleted = await watcher.observe(runs)
    assert [key for key, one in deleted.items() if one.phase is Phase.LOST] == [runs[5].run_key]
    await asyncio.gather(engine.close(), watcher.close())


async def _quiet(watcher: AirflowEngine, runs: list[Watched]) -> None:
    """Observe until the submits' own changes are older than the overlap."""

    async def one_call() -> bool:
        await watcher.observe(runs)
        return watcher.tracker.calls == 1

    await until(one_call, "a pass took one call", timeout_seconds=30)


async def test_airflow_restarted_in_the_middle_says_nothing_while_it_is_away(harness: Harness) -> None:
    """The API server dies while a task works, the scheduler while a run is queued: both runs end well.

    The scheduler takes the tasks at work with it, so it dies when there are none.
    """
    first, later = new_submission(pipeline(hold="extract")), new_submission(pipeline())
    handle = await harness.adapter.submit(first)

    async def works() -> bool:
        return harness.server.starts(first.run_key) == 1

    await until(works, "the first task began")
    harness.server.kill(["api-server"])
    engine = harness.fresh_engine()
    with pytest.raises(EngineUnavailable):
        await engine.observe([Watched(first.run_key, 1, handle)])
    with pytest.raises(EngineUnavailable) as unavailable:
        await engine.submit(later)
    assert not unavailable.value.may_have_arrived
    await engine.close()
    harness.server.start(["api-server"])
    harness.server.wait_healthy()
    assert await harness.adapter.submit(first) == handle
    harness.clean(first.run_key)
    assert (await see(harness.adapter, first, handle)).phase is Phase.SUCCEEDED
    harness.server.kill(["scheduler"])
    queued = await harness.adapter.submit(later)
    assert (await observe(harness.adapter, later, queued)).phase is Phase.SUBMITTED
    harness.server.start(["scheduler"])
    harness.server.wait_healthy()
    seen = await see(harness.adapter, later, queued)
    assert (seen.phase, seen.result) == (Phase.SUCCEEDED, {"rows": 30})


async def test_a_stop_whose_answer_is_lost_is_repeated_without_effect(harness: Harness) -> None:
    submission = new_submission(AirflowWork(dag_id=HELD, note="x" * 990))
    handle = await harness.adapter.submit(submission)
    deaf = harness.deaf_engine(submission.run_key)
    watched = Watched(submission.run_key, 1, handle)
    await deaf.cancel(watched)
    await deaf.close()
    await harness.adapter.cancel(watched)
    assert (await see(harness.adapter, submission, handle)).phase is Phase.KILLED
    ended_at = (await run_of(harness, HELD, submission.run_key))["end_date"]
    await harness.adapter.cancel(watched)
    assert (await run_of(harness, HELD, submission.run_key))["end_date"] == ended_at
    assert datetime.fromisoformat(ended_at) <= datetime.now(UTC) + timedelta(seconds=1)
