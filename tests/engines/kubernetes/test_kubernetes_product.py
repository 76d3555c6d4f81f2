"""Kubernetes through API and command line, on a real cluster: save, start, logs, indexes, cancel, bad input."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from engines.harness import until
from engines.kubernetes.distribution import IMAGE
from engines.kubernetes.harness import ENDLESS, Harness
from engines.kubernetes.product import KubernetesProduct, running_product

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]
SHELL = ("--", "/bin/sh", "-c")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def product(
    namespace: Harness, postgres_url: str, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[KubernetesProduct]:
    async with running_product(namespace, postgres_url, kafka_bootstrap, tmp_path_factory.mktemp("product")) as product:
        yield product
    await asyncio.to_thread(namespace.delete_jobs)


async def create(product: KubernetesProduct, job: str, script: str, *words: str) -> None:
    await product.signalbox("job", "create", job, "--image", IMAGE, "--engine", "batch", *words, *SHELL, script)


async def test_a_job_of_an_image_runs_and_leaves_its_result_and_its_log(product: KubernetesProduct) -> None:
    await product.signalbox("engine", "test", "batch", "--wait")
    script = 'echo "hello $NAME"; printf %s "{\\"n\\": 1}" > "$SIGNALBOX_RESULT"'
    await create(product, "hello", script, "--env", "NAME=you", "--limit", "memory=64Mi", "--request", "cpu=10m")
    task = await product.start("hello")
    ended = await product.task(task)
    assert (ended["state"], ended["result"]) == ("SUCCEEDED", {"n": 1}), ended
    product.harness.kubectl("delete", "job", ended["run_key"], "--cascade=foreground")
    assert "hello you" in await product.signalbox("task", "logs", task), "the log outlives the pods"


async def test_a_job_without_an_engine_runs_on_the_cluster_that_the_environment_names(
    product: KubernetesProduct,
) -> None:
    await product.signalbox("job", "create", "unplaced", "--image", IMAGE, *SHELL, "true")
    ended = await product.task(await product.start("unplaced"))
    assert (ended["state"], ended["engine"]) == ("SUCCEEDED", "kubernetes"), ended
    (job,) = product.harness.objects("jobs", f"signalbox/run-key={ended['run_key']}")
    assert job["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


async def test_two_of_ten_indexes_fail_and_exactly_these_run_again(product: KubernetesProduct) -> None:
    script = 'echo "index $JOB_COMPLETION_INDEX"; case $JOB_COMPLETION_INDEX in 3|7) exit 9;; esac'
    await create(product, "ten", script, "--completions", "10", "--max-attempts", "1")
    task = await product.start("ten")
    ended = await product.task(task)
    assert ended["state"] == "FAILED", ended
    assert "2 of 10 indexes failed: 3 (exit code 9), 7 (exit code 9)" in ended["error"]

    async def each_index_is_known() -> bool:
        return await phases(product, task) == {n: "failed" if n in (3, 7) else "succeeded" for n in range(10)}

    await until(each_index_is_known, "the state of each index is shown", timeout_seconds=20)
    failed = [index for index, phase in (await phases(product, task)).items() if phase == "failed"]
    await create(
        product, "again", "echo again", "--completions", "10",
        *(word for index in failed for word in ("--index", str(index))),
    )  # fmt: skip
    again = await product.start("again")
    assert (await product.task(again))["state"] == "SUCCEEDED"
    lines = (await product.signalbox("task", "logs", again)).splitlines()
    assert sorted(lines) == ["[3] again", "[7] again"]
    assert sorted((await product.signalbox("task", "logs", task)).splitlines()) == sorted(
        f"[{index}] index {index}" for index in range(10)
    )


async def phases(product: KubernetesProduct, task: str) -> dict[int, str]:
    """The phase of each index, as a task shows it."""
    progress: Any = (await product.json("task", "show", task))["progress"]
    workers: list[dict[str, Any]] = progress["workers"] if progress else []
    return {worker["worker"]: worker["phase"] for worker in workers}


async def test_a_job_that_is_stopped_ends_its_pods(product: KubernetesProduct) -> None:
    await create(product, "endless", f"echo began; {ENDLESS}")
    task = await product.start("endless")
    await product.task(task, ("RUNNING",))
    await product.signalbox("job", "stop", "endless", "--kill", "--yes", "--wait")
    ended = await product.task(task)
    assert ended["state"] == "CANCELLED", ended

    async def gone() -> bool:
        pods = await asyncio.to_thread(product.harness.objects, "pods", f"signalbox/run-key={ended['run_key']}")
        return all(pod["status"]["phase"] not in ("Running", "Pending") for pod in pods)

    await until(gone, "no pod runs", timeout_seconds=40)


async def test_an_image_that_does_not_exist_is_why_a_task_waits(product: KubernetesProduct) -> None:
    await product.signalbox("job", "create", "typo", "--image", "localhost/missing:1", "--engine", "batch", "--", "x")
    task = await product.start("typo")

    async def explained() -> bool:
        return "ImagePull" in await product.signalbox("task", "show", task)

    await until(explained, "why it waits is shown", timeout_seconds=60)
    await product.signalbox("job", "stop", "typo", "--kill", "--yes", "--wait")
    assert (await product.task(task))["state"] == "CANCELLED"


async def test_a_field_of_the_manifest_that_does_not_exist_is_named(product: KubernetesProduct) -> None:
    work = {"kind": "kubernetes", "image": IMAGE, "pod_template": {"spec": {"nodeNmae": "x"}}}
    file = product.folder / "wrong.json"
    definition = {"id": "wrong", "name": "wrong", "engine": "batch", "work": work, "retries": {"max_attempts": 1}}
    file.write_text(json.dumps(definition))
    await product.signalbox("job", "create", "-f", str(file))
    ended = await product.task(await product.start("wrong"))
    assert ended["state"] == "FAILED", ended
    assert "nodeNmae" in json.dumps(ended)
    assert product.harness.objects("jobs,pods,configmaps", f"signalbox/run-key={ended['run_key']}") == []


async def test_one_name_in_two_namespaces_is_two_jobs(
    product: KubernetesProduct, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same job on two engines: each has its own Job, and a stop of one leaves the other alone."""
    other = Harness(product.harness.cluster, tmp_path_factory.mktemp("other"))
    engine = {"id": "second", "name": "second", "connection": other.connection, "observe_every_seconds": 0.5}
    await product.stack.ask("POST", "/engines", engine)
    tasks: dict[str, str] = {}
    for name in ("batch", "second"):
        await product.signalbox(
            "job", "create", f"same-{name}", "--image", IMAGE, "--engine", name, *SHELL, ENDLESS
        )  # fmt: skip
        tasks[name] = await product.start(f"same-{name}")
    for task in tasks.values():
        await product.task(task, ("RUNNING",))
    await product.signalbox("job", "stop", "same-batch", "--kill", "--yes", "--wait")
    assert (await product.task(tasks["batch"]))["state"] == "CANCELLED"
    assert (await product.task(tasks["second"], ("RUNNING",)))["state"] == "RUNNING"
    await product.signalbox("job", "stop", "same-second", "--kill", "--yes", "--wait")
    assert (await product.task(tasks["second"]))["state"] == "CANCELLED"
