"""What dies under the engine: parts of the cluster, its memory of versions, the Job, the namespace."""

import asyncio
import gc
import os
from pathlib import Path

import pytest

from engines.harness import until
from engines.kubernetes.cluster import KubernetesCluster
from engines.kubernetes.harness import ENDLESS, Harness, shell_work
from engines.kubernetes.scenarios import ended, new_submission, seen_in, watched
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.port import Engine, EngineUnavailable, Submission, Watched

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("part", ["kube-apiserver", "kubelet", "kube-controller-manager", "etcd"])
async def test_a_part_of_the_cluster_dies_in_the_middle_and_the_end_is_true(harness: Harness, part: str) -> None:
    """No run ends by an outage, and none is run twice."""
    wait = "while ! [ -e /stamps/done-$SIGNALBOX_RUN_KEY ]; do sleep 0.2; done"
    script = f"echo x >> /stamps/$SIGNALBOX_RUN_KEY-$JOB_COMPLETION_INDEX; {wait}"
    submission = new_submission(shell_work(script, completions=2, pod_template=harness.stamped()))
    await harness.engine.submit(submission)
    await seen_in(harness, submission, {Phase.RUNNING})
    await until(lambda: both_began(harness, submission.run_key), "both pods began")
    harness.cluster.kill(part)
    (harness.stamps / f"done-{submission.run_key}").touch()
    try:
        if part == "kube-apiserver":
            await until(lambda: out_of_reach(harness, submission.run_key), "the engine says it is out of reach", 30)
    finally:
        await asyncio.to_thread(harness.cluster.start, part)
    assert (await ended(harness, submission, 120)).phase is Phase.SUCCEEDED
    assert [await harness.starts(f"{submission.run_key}-{index}") for index in (0, 1)] == [1, 1]


async def test_versions_that_the_server_forgot_are_answered_by_a_new_list(harness: Harness) -> None:
    """etcd compacted and the server restarted: the version we follow from is gone (410)."""
    running = new_submission(shell_work(ENDLESS))
    await harness.engine.submit(running)
    await seen_in(harness, running, {Phase.RUNNING})
    harness.cluster.kill("kube-apiserver")
    await asyncio.to_thread(harness.cluster.compact)
    await asyncio.to_thread(harness.cluster.start, "kube-apiserver")
    await seen_in(harness, running, {Phase.RUNNING}, 60)
    later = new_submission(shell_work("true"))
    await harness.engine.submit(later)
    assert (await ended(harness, later)).phase is Phase.SUCCEEDED


async def test_a_job_that_somebody_deleted_is_lost(harness: Harness) -> None:
    submission = new_submission(shell_work(ENDLESS))
    handle = await harness.engine.submit(submission)
    await seen_in(harness, submission, {Phase.RUNNING})
    harness.kubectl("delete", "job", submission.run_key, "--cascade=background")
    seen = await seen_in(harness, submission, {Phase.LOST})
    assert "no such Job" in seen.message
    # somebody makes another Job of the same name: it is not ours
    other = new_submission(shell_work(ENDLESS))
    other = type(other)(run_key=submission.run_key, task_id=submission.task_id, attempt=1, work=other.work)
    again = await harness.engine.submit(other)
    assert again != handle
    answer = (await harness.engine.observe([Watched(submission.run_key, 1, handle)]))[submission.run_key]
    assert (answer.phase, "another Job has its name" in answer.message) == (Phase.LOST, True)


async def test_a_deleted_namespace_is_named_as_the_reason(harness: Harness) -> None:
    harness.cluster.kubectl("create", "namespace", "short-lived")
    engine = await harness.open(namespace="short-lived")
    submission = new_submission(shell_work(ENDLESS))
    try:
        await engine.submit(submission)
        harness.cluster.kubectl("-n", "short-lived", "delete", "jobs", "--all", "--cascade=background", "--wait=false")
        harness.cluster.kubectl("delete", "namespace", "short-lived", "--wait=false")

        async def lost_with_its_namespace() -> bool:
            seen = (await engine.observe([watched(submission)]))[submission.run_key]
            return seen.phase is Phase.LOST and "namespace short-lived" in seen.message

        await until(lost_with_its_namespace, "the run is lost with its namespace")
    finally:
        await engine.close()


async def test_five_hundred_jobs_are_followed_by_one_stream(harness: Harness) -> None:
    work = shell_work("true", node_selector={"none": "such"})
    submissions = [new_submission(work) for _ in range(500)]
    at_once = asyncio.Semaphore(20)

    async def submit(one: int) -> None:
        async with at_once:
            await harness.engine.submit(submissions[one])

    await asyncio.gather(*(submit(one) for one in range(len(submissions))))
    before = 0.0
    for passes in range(120):
        seen = await harness.engine.observe([watched(one) for one in submissions])
        assert {one.phase for one in seen.values()} == {Phase.SUBMITTED}
        if passes == 20:
            before = resident_mib()
    assert harness.adapter.jobs_watch.relists == 1
    assert resident_mib() - before < 8


def resident_mib() -> float:
    """The memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def both_began(harness: Harness, key: str) -> bool:
    return [await harness.starts(f"{key}-{index}") for index in (0, 1)] == [1, 1]


async def out_of_reach(harness: Harness, key: str) -> bool:
    try:
        await harness.engine.observe([Watched(key, 1)])
    except EngineUnavailable:
        return True
    return False


async def test_a_name_that_two_clusters_share_is_two_jobs(harness: Harness) -> None:
    """The same namespace and run key in a second cluster: each engine sees and ends its own."""
    submission = new_submission(shell_work(ENDLESS, node_selector={"none": "such"}))
    with KubernetesCluster.started(node=False) as cluster:
        cluster.kubectl("create", "namespace", harness.namespace)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(harness, "settings", {"SIGNALBOX_KUBERNETES_CONFIG_FILES": str(cluster.kubeconfig)})
            other = await harness.open(config=str(cluster.kubeconfig))
        try:
            handles = {await harness.engine.submit(submission), await other.submit(submission)}
            assert len(handles) == 2
            await other.cancel(watched(submission))
            await until(
                lambda: in_phase(other, submission, Phase.KILLED), "the run of the second cluster is killed", 30
            )
            assert await in_phase(harness.engine, submission, Phase.SUBMITTED)
            seen = await other.observe([Watched(submission.run_key, 1, await harness.engine.submit(submission))])
            assert seen[submission.run_key].phase is Phase.LOST, "the handle of one cluster is no handle of the other"
        finally:
            await other.close()


async def in_phase(engine: Engine, of: Submission, phase: Phase) -> bool:
    return (await engine.observe([watched(of)]))[of.run_key].phase is phase
