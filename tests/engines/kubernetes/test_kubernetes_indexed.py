"""Indexed Jobs: states and results of each index, re-runs of some, logs of all."""

import asyncio
from collections import Counter

import pytest

from engines.harness import until
from engines.kubernetes.harness import ENDLESS, Harness, shell_work
from engines.kubernetes.scenarios import complete_log, ended, new_submission, seen_in, watched
from signalbox_contracts.messages.tasks import EndCause, Phase

pytestmark = pytest.mark.engine
FAILS_ON_3_AND_7 = 'echo "index $JOB_COMPLETION_INDEX"; case $JOB_COMPLETION_INDEX in 3|7) exit 9;; esac'
AS_MAPPED = """
set -- $(echo "$SIGNALBOX_INDEXES" | tr , ' '); shift "$JOB_COMPLETION_INDEX"; echo "index $1"
printf '"again %s"' "$1" > "$SIGNALBOX_RESULT"
"""


async def test_two_of_ten_indexes_fail_and_exactly_these_run_again(harness: Harness) -> None:
    first = new_submission(shell_work(FAILS_ON_3_AND_7, completions=10))
    await harness.engine.submit(first)
    end = await ended(harness, first)
    assert (end.phase, end.cause, end.exit_code) == (Phase.FAILED, EndCause.FAILED, 9)
    assert "2 of 10 indexes failed: 3 (exit code 9), 7 (exit code 9)" in end.message
    progress = (await harness.adapter.progress([watched(first)]))[first.run_key]
    states = {worker.worker: worker.phase for worker in progress.workers}
    assert states == {index: Phase.FAILED if index in (3, 7) else Phase.SUCCEEDED for index in range(10)}
    assert progress.fraction == 1.0
    lines = (await complete_log(harness, first)).decode().splitlines()
    assert sorted(lines) == sorted(f"[{index}] index {index}" for index in range(10))

    again = new_submission(shell_work(AS_MAPPED, completions=10, indexes=(3, 7)))
    await harness.engine.submit(again)
    end = await ended(harness, again)
    assert (end.phase, end.result) == (Phase.SUCCEEDED, {"3": "again 3", "7": "again 7"})
    assert sorted((await complete_log(harness, again)).decode().splitlines()) == ["[3] index 3", "[7] index 7"]


async def test_one_index_runs_again_under_its_own_number(harness: Harness) -> None:
    submission = new_submission(
        shell_work('printf "$JOB_COMPLETION_INDEX" > "$SIGNALBOX_RESULT"', completions=10, indexes=(7,))
    )
    await harness.engine.submit(submission)
    assert (await ended(harness, submission)).result == 7


async def test_retries_count_an_index_and_some_exit_codes_end_it_at_once(harness: Harness) -> None:
    script = "echo x >> /stamps/$SIGNALBOX_RUN_KEY-$JOB_COMPLETION_INDEX; exit $((40 + JOB_COMPLETION_INDEX))"
    work = shell_work(
        script, completions=2, retries_per_index=1, no_retry_exit_codes=(41,), pod_template=harness.stamped()
    )
    submission = new_submission(work)
    await harness.engine.submit(submission)
    end = await ended(harness, submission)
    assert "0 (exit code 40), 1 (exit code 41)" in end.message
    assert [await harness.starts(f"{submission.run_key}-{index}") for index in (0, 1)] == [2, 1]


async def test_too_many_failed_indexes_end_the_job_early(harness: Harness) -> None:
    script = f"[ $JOB_COMPLETION_INDEX = 0 ] && exit 5; {ENDLESS}"
    submission = new_submission(shell_work(script, completions=3, max_failed_indexes=0))
    await harness.engine.submit(submission)
    end = await ended(harness, submission)
    assert (end.phase, end.exit_code) == (Phase.FAILED, 5)
    assert "MaxFailedIndexesExceeded" in end.message


async def test_a_pod_that_the_cluster_takes_away_is_no_failure(harness: Harness) -> None:
    script = (
        f"echo x >> /stamps/$SIGNALBOX_RUN_KEY; [ $(wc -l < /stamps/$SIGNALBOX_RUN_KEY) -gt 1 ] && exit 0; {ENDLESS}"
    )
    submission = new_submission(shell_work(script, pod_template=harness.stamped()))
    await harness.engine.submit(submission)
    await seen_in(harness, submission, {Phase.RUNNING})
    pod = harness.objects("pods", f"signalbox/run-key={submission.run_key}")[0]["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": harness.namespace},
    }
    harness.create_raw(f"/api/v1/namespaces/{harness.namespace}/pods/{pod}/eviction", eviction)
    assert (await ended(harness, submission)).phase is Phase.SUCCEEDED
    assert await harness.starts(submission.run_key) == 2


async def test_a_suspended_job_keeps_its_finished_indexes_and_goes_on(harness: Harness) -> None:
    script = f"[ $JOB_COMPLETION_INDEX = 0 ] && exit 0; [ -e /stamps/go ] && exit 0; {ENDLESS}"
    submission = new_submission(shell_work(script, completions=2, pod_template=harness.stamped()))
    await harness.engine.submit(submission)

    async def first_done() -> bool:
        progress = await harness.adapter.progress([watched(submission)])
        return any(one.phase is Phase.SUCCEEDED for one in progress[submission.run_key].workers)

    await seen_in(harness, submission, {Phase.RUNNING})
    await until(first_done, "index 0 succeeded")
    await harness.adapter.suspend(watched(submission))
    await harness.adapter.suspend(watched(submission))
    await seen_in(harness, submission, {Phase.SUSPENDED})
    (harness.stamps / "go").touch()
    await harness.adapter.resume(watched(submission))
    end = await ended(harness, submission)
    assert end.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("pods", "lines"),
    [(12, 400), pytest.param(50, 4000, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
async def test_logs_of_many_pods_are_read_live_without_a_line_lost_or_doubled(
    harness: Harness, pods: int, lines: int
) -> None:
    """Each pod writes 200 lines a second."""
    script = f"i=0; while [ $i -lt {lines} ]; do echo $i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.5; done; true"
    submission = new_submission(shell_work(script, completions=pods))
    await harness.engine.submit(submission)
    text, ends = b"", False
    while not ends:
        ends = (await harness.engine.observe([watched(submission)]))[submission.run_key].phase is Phase.SUCCEEDED
        while page := (await harness.adapter.logs(watched(submission), offset=len(text))).data:
            text += page
        await asyncio.sleep(0.05)
    text += (await harness.adapter.logs(watched(submission), offset=len(text), limit=10_000_000)).data
    counted = Counter(text.decode().splitlines())
    assert counted == Counter(f"[{pod}] {line}" for pod in range(pods) for line in range(lines))
    again = await harness.open()
    try:
        harness.engine, kept = again, harness.engine
        assert await complete_log(harness, submission, limit=65_536) == text, (
            "a reader that starts over sees the same bytes"
        )
        harness.engine = kept
    finally:
        await again.close()
