"""Jobs with a name that the work chose: the run key stays the identity, held by a second Job without pods."""

import asyncio
from uuid import uuid4

import pytest

from engines.harness import until
from engines.kubernetes.harness import ENDLESS, Harness, shell_work
from engines.kubernetes.scenarios import complete_log, ended, new_submission, seen_in, watched
from signalbox_chassis.runtime import crash_points
from signalbox_contracts.definitions.work import KubernetesWork
from signalbox_executor.engines.kubernetes.manifest import RUN_KEY
from signalbox_executor.engines.port import EngineRefused, Phase, Submission, Watched

pytestmark = pytest.mark.engine
STAMP = "echo x >> /stamps/$SIGNALBOX_RUN_KEY"


class Stopped(Exception):
    """A submit ends here."""


def named(harness: Harness, script: str = STAMP) -> Submission:
    """A submission whose Job has a name of its own."""
    name = f"nightly-{uuid4().hex[:8]}"
    return new_submission(shell_work(script, job_name=name, pod_template=harness.stamped()))


def name_of(submission: Submission) -> str:
    assert isinstance(submission.work, KubernetesWork)
    return str(submission.work.job_name)


def jobs_of(harness: Harness, submission: Submission) -> set[str]:
    found = harness.objects("jobs", f"{RUN_KEY}={submission.run_key}")
    return {job["metadata"]["name"] for job in found}


async def test_five_copies_of_a_submit_are_one_run_of_that_name(harness: Harness) -> None:
    submission = named(harness, f"{STAMP}; echo hello")
    handles = await asyncio.gather(*(harness.engine.submit(submission) for _ in range(5)))
    assert {handle.split("/")[1] for handle in handles} == {name_of(submission)}
    assert (await ended(harness, submission)).phase is Phase.SUCCEEDED
    by_handle = await harness.engine.observe([Watched(submission.run_key, 1, handles[0])])
    assert by_handle[submission.run_key].phase is Phase.SUCCEEDED
    assert b"hello" in await complete_log(harness, submission)
    assert await harness.starts(submission.run_key) == 1
    assert jobs_of(harness, submission) == {name_of(submission), submission.run_key}
    harness.kubectl("delete", "job", name_of(submission), "--cascade=background")

    async def both_gone() -> bool:
        return not await asyncio.to_thread(jobs_of, harness, submission)

    await until(both_gone, "the Job that holds the key goes with the one that ran")
    assert "no such Job" in (await seen_in(harness, submission, {Phase.LOST})).message


@pytest.mark.parametrize("point", ["kubernetes.created", "kubernetes.owned", "kubernetes.key-taken"])
async def test_a_seal_between_two_steps_of_a_submit_keeps_it_from_ever_running(harness: Harness, point: str) -> None:
    submission = named(harness)

    def stop(name: str) -> None:
        if name == point:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crash_points, "point", stop)
        with pytest.raises(Stopped):
            await harness.engine.submit(submission)
    assert await harness.adapter.seal(watched(submission)) is None
    with pytest.raises(EngineRefused) as refused:
        await harness.engine.submit(submission)
    assert refused.value.sealed
    seen = (await harness.engine.observe([watched(submission)]))[submission.run_key]
    assert (seen.phase, "sealed" in seen.message) == (Phase.LOST, True)
    assert not harness.objects("pods", f"{RUN_KEY}={submission.run_key}")
    assert await harness.starts(submission.run_key) == 0


async def test_a_seal_of_what_was_never_sent_refuses_the_late_copy(harness: Harness) -> None:
    submission = named(harness)
    assert await harness.adapter.seal(watched(submission)) is None
    with pytest.raises(EngineRefused) as refused:
        await harness.engine.submit(submission)
    assert refused.value.sealed
    assert await harness.starts(submission.run_key) == 0


async def test_a_seal_of_what_runs_gives_its_handle_and_a_cancel_ends_it(harness: Harness) -> None:
    submission = named(harness, f"{STAMP}; {ENDLESS}")
    handle = await harness.engine.submit(submission)
    assert await harness.adapter.seal(watched(submission)) == handle
    await seen_in(harness, submission, {Phase.RUNNING})
    await harness.engine.cancel(watched(submission))
    assert (await ended(harness, submission)).phase is Phase.KILLED
    assert await harness.engine.submit(submission) == handle
    assert await harness.starts(submission.run_key) == 1


async def test_a_seal_and_a_submit_at_one_moment_agree(harness: Harness) -> None:
    async def race() -> None:
        submission = named(harness)
        submitted, sealed = await asyncio.gather(
            harness.engine.submit(submission), harness.adapter.seal(watched(submission)), return_exceptions=True
        )
        if isinstance(submitted, EngineRefused):
            assert submitted.sealed
            assert sealed is None
            assert await harness.starts(submission.run_key) == 0
        else:
            assert sealed == submitted
            assert (await ended(harness, submission)).phase is Phase.SUCCEEDED
            assert await harness.starts(submission.run_key) == 1

    await asyncio.gather(*(race() for _ in range(10)))


async def test_a_name_that_another_run_has_is_refused_and_a_later_attempt_has_its_own(harness: Harness) -> None:
    first = named(harness)
    handle = await harness.engine.submit(first)
    with pytest.raises(EngineRefused, match="not this run's") as refused:
        await harness.engine.submit(new_submission(first.work))
    assert (refused.value.field, refused.value.value) == ("work.job_name", name_of(first))
    again = Submission(run_key=f"{first.run_key}x", task_id=first.task_id, attempt=2, work=first.work)
    assert (await harness.engine.submit(again)).split("/")[1] == f"{name_of(first)}-2"
    assert (await ended(harness, first)).phase is Phase.SUCCEEDED
    assert (await harness.engine.observe([Watched(first.run_key, 1, handle)]))[first.run_key].phase is Phase.SUCCEEDED
