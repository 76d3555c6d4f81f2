"""What can never run: a readable reason, and nothing half created."""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from engines.harness import until
from engines.kubernetes.harness import Harness, shell_work
from engines.kubernetes.scenarios import ended, new_submission
from signalbox_contracts.definitions.work import KubernetesWork, Toleration
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, Phase, Submission, Watched

pytestmark = pytest.mark.engine


async def refused(harness: Harness, submission: Submission) -> EngineRefused:
    with pytest.raises(EngineRefused) as caught:
        await harness.engine.submit(submission)
    return caught.value


@pytest.mark.parametrize(
    ("work", "field", "words"),
    [
        (shell_work("true", pod_template={"spec": {"nodeNmae": "x"}}), "work.pod_template.spec.nodeNmae", "unknown"),
        (shell_work("true", pod_template={"spec": {"restartPolicy": "OnFailure"}}), "restartPolicy", "Never"),
        (shell_work("true", node_selector={"no good": "x"}), "work.node_selector", "no good"),
        (shell_work("true", limits={"memory": "lots"}), "work", "quantities"),
        (shell_work("true", files={"../up": "x"}), "work", ".."),
        (shell_work("true", tolerations=(Toleration(operator="Exists", value="x"),)), "work.tolerations", "Exists"),
        (shell_work("true", keep_seconds=3600), "work.keep_seconds", "key_retention_seconds"),
    ],
    ids=["unknown field", "restart policy", "label", "quantity", "path", "toleration", "short memory"],
)
async def test_a_job_the_cluster_refuses_says_what_is_wrong_and_leaves_nothing(
    harness: Harness, work: KubernetesWork, field: str, words: str
) -> None:
    submission = new_submission(work)
    error = await refused(harness, submission)
    assert field in error.field
    assert words in error.reason
    assert objects_of(harness, submission.run_key) == []


async def test_a_secret_over_one_mebibyte_is_refused_before_anything_is_created(harness: Harness) -> None:
    value = "x" * (1024 * 1024 + 1)
    work = shell_work("true").model_copy(update={"secret_files": {"key.pem": value}})
    submission = new_submission(work, secrets=(value,))
    error = await refused(harness, submission)
    assert error.field == "work.secret_files.key.pem"
    assert "1048" in error.reason
    assert value not in str(error)
    assert objects_of(harness, submission.run_key) == []


async def test_what_an_owned_object_is_refused_for_takes_the_job_with_it(harness: Harness) -> None:
    """A quota that has room for the Job and none for its files."""
    with quota(harness, {"configmaps": 1}):  # every namespace has one already
        submission = new_submission(shell_work("true", files={"a": "b"}))
        with pytest.raises(EngineThrottled):
            await harness.engine.submit(submission)
        await until_gone(harness, submission.run_key)


async def test_a_quota_of_zero_refuses_and_a_quota_in_use_asks_to_wait(harness: Harness) -> None:
    with quota(harness, {"count/jobs.batch": 0}):
        error = await refused(harness, new_submission(shell_work("true")))
        assert "count/jobs.batch=0" in error.reason
    with quota(harness, {"count/jobs.batch": 1}):
        await harness.engine.submit(new_submission(shell_work("true")))
        with pytest.raises(EngineThrottled):
            await harness.engine.submit(new_submission(shell_work("true")))


MISSING_SECRET = {
    "spec": {
        "volumes": [{"name": "v", "secret": {"secretName": "none"}}],
        "containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    }
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "localhost/missing:1"}, "ErrImageNeverPull"),
        ({"image": "localhost/missing:1", "image_pull_policy": "IfNotPresent"}, "ImagePull"),
        ({"node_selector": {"disk": "golden"}}, "Unschedulable"),
        ({"pod_template": MISSING_SECRET}, "FailedMount"),
    ],
    ids=["image", "pull", "scheduling", "volume"],
)
async def test_a_pod_that_cannot_start_says_why_and_ends_by_its_deadline(
    harness: Harness, change: dict[str, Any], words: str
) -> None:
    work = shell_work("true").model_copy(update=change)
    submission = new_submission(work, time_limit_seconds=15)
    await harness.engine.submit(submission)
    assert words in await waiting_reason(harness, submission)
    end = await ended(harness, submission)
    assert (end.phase, end.cause) == (Phase.FAILED, "timed_out")
    assert words in end.message


async def test_pods_that_cannot_be_created_say_why(harness: Harness) -> None:
    """Pod Security and a quota on pods leave a Job without any condition: only its events tell."""
    with quota(harness, {"pods": 0}):
        submission = new_submission(shell_work("true"), time_limit_seconds=60)
        await harness.engine.submit(submission)
        assert "exceeded quota" in await waiting_reason(harness, submission)


async def test_a_foreign_job_with_our_name_is_left_alone(harness: Harness) -> None:
    submission = new_submission(shell_work("true"))
    container = {"name": "x", "image": "x"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"suspend": True, "template": template}
    harness.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": submission.run_key}, "spec": spec})
    error = await refused(harness, submission)
    assert (error.field, "that is not this run's" in error.reason) == ("run_key", True)


async def test_a_namespace_that_does_not_exist_is_named(harness: Harness) -> None:
    engine = await harness.open(namespace="no-such-namespace")
    submission = new_submission(shell_work("true"))
    try:
        with pytest.raises(EngineRefused, match="no-such-namespace"):
            await engine.submit(submission)
        seen = await engine.observe([Watched(submission.run_key, 1)])
        assert seen[submission.run_key].phase is Phase.LOST
        assert "no-such-namespace does not exist" in seen[submission.run_key].message
    finally:
        await engine.close()


def objects_of(harness: Harness, key: str) -> list[dict[str, Any]]:
    """What carries the run key in the cluster."""
    return harness.objects("jobs,pods,configmaps,secrets", f"signalbox/run-key={key}")


@contextmanager
def quota(harness: Harness, hard: Mapping[str, int]) -> Generator[None]:
    """A quota of the namespace that is in force."""
    limits = {name: str(limit) for name, limit in hard.items()}
    document = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": limits}}
    harness.apply(document)
    harness.cluster.until(
        lambda: any("used" in one.get("status", {}) for one in harness.objects("resourcequotas")), "the quota counts"
    )
    try:
        yield
    finally:
        harness.kubectl("delete", "resourcequota", "q")


async def until_gone(harness: Harness, key: str) -> None:
    async def gone() -> bool:
        return not await asyncio.to_thread(objects_of, harness, key)

    await until(gone, "nothing of it is left")


async def waiting_reason(harness: Harness, of: Submission) -> str:
    """What the engine says this run waits for."""
    found: dict[str, str] = {}

    async def known() -> bool:
        found.update(await harness.adapter.explain_waiting([Watched(of.run_key, 1)]))
        return of.run_key in found

    await until(known, "it is known what the run waits for", 30)
    return found[of.run_key]
