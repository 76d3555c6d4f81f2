"""The workers of a reprocessing job as pods of an Indexed Job: real pods, a real Kafka, pods killed on the way."""

import asyncio
import base64
import json
import site
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import obstore
import pytest
import pytest_asyncio
from obstore.store import S3Store
from pydantic import SecretStr

from engines.harness import until
from engines.kubernetes.distribution import IMAGE
from engines.kubernetes.harness import Harness
from engines.kubernetes.product import KubernetesProduct, running_product
from engines.kubernetes.scenarios import complete_log, ended, new_submission, watched
from engines.product import changed_settings
from signalbox_chassis.persistence.migrations import provision, provision_worker
from signalbox_chassis.security.vault import Vault, provision_vault
from signalbox_contracts.messages.requests import PlanRequest
from signalbox_contracts.messages.tasks import Phase
from signalbox_contracts.states import PlanState
from signalbox_contracts.topics import topic
from signalbox_executor.engines.port import Submission
from signalbox_executor.engines.registry import secret_places
from signalbox_executor.secrets import Secrets
from support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from support.full_stack import FullStack
from support.reprocessing import Reprocessors, create_destination, reprocessors_on, write_events

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
LINES: Final = 200
BATCH: Final = 200
JOBS: Final = "/api/admin/reprocessing/jobs"
KEY: Final = base64.b64encode(bytes(range(32))).decode()


def pod_template(events: Path) -> dict[str, Any]:
    """The image has a shell only: Python, the worker and certificates come from this host, and so does its network."""
    here = {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3], Path("/usr"), Path("/lib"), events}
    here |= {Path(folder) for folder in site.getsitepackages()} | {Path("/lib64"), Path("/etc/ssl")}
    places = sorted(path for path in here if path.exists() and not any(up in here for up in path.parents))
    volumes = [{"name": f"host-{n}", "hostPath": {"path": str(path)}} for n, path in enumerate(places)]
    mounts = [{"name": f"host-{n}", "mountPath": str(path), "readOnly": True} for n, path in enumerate(places)]
    as_root: dict[str, Any] = {"securityContext": None}
    container = {"name": "main", "imagePullPolicy": "Never", "volumeMounts": mounts, **as_root}
    return {"spec": {"hostNetwork": True, "volumes": volumes, "containers": [container], **as_root}}


def pod_settings(folder: Path) -> dict[str, Any]:
    return {
        "reprocessing_worker_image": IMAGE,
        "reprocessing_pod_command": f"{sys.executable} -m signalbox_reprocessor.worker.main",
        "reprocessing_pod_template": json.dumps(pod_template(folder)),
    }


@asynccontextmanager
async def vault_for(owner: Reprocessors, postgres_url: str) -> AsyncGenerator[tuple[Vault, Mapping[str, Any]]]:
    """A vault, read by an executor; and the settings with which the reprocessor writes its own secrets there."""
    schema, reader = f"{owner.schema}_secrets", f"{owner.schema}_reader"
    reader_url = await provision(postgres_url, role=reader, password=uuid.uuid4().hex, schema=reader)
    await provision_vault(
        postgres_url, writer_role=reader, readers={reader: ("work",)}, owners={owner.schema: "reprocess-"},
        schema=schema,
    )  # fmt: skip
    vault = Vault(reader_url, keys=KEY, schema=schema)
    await vault.start()
    try:
        yield vault, {"secret_key": SecretStr(KEY), "secrets_url": SecretStr(owner.url), "secrets_schema": schema}
    finally:
        await vault.stop()


@pytest_asyncio.fixture
async def place(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[tuple[Reprocessors, Vault]]:
    tmp_path.chmod(0o755)
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made, vault_for(made, postgres_url) as found:
        vault, settings = found
        async with made.reprocessing(**settings, **pod_settings(tmp_path)):
            yield made, vault


async def submission_of(made: Reprocessors, vault: Vault, job: uuid.UUID) -> Submission:
    """What the executor submits for the plan of the job, with the values of its secrets."""
    plans = [one for one in await made.published(topic("requests.v1")) if isinstance(one, PlanRequest)]
    items = next(plan.data.items for plan in plans if plan.data.plan_id == job)
    assert [item.key for item in items] == ["workers"]
    return await Secrets(vault, places=secret_places).fill(new_submission(items[0].work))


def decoded(document: Mapping[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in document["data"].items()}


@pytest_asyncio.fixture
async def from_s3(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path, ceph: Ceph
) -> AsyncGenerator[tuple[Reprocessors, Vault]]:
    tmp_path.chmod(0o755)
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made, vault_for(made, postgres_url) as found:
        vault, settings = found
        access = {
            "aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "aws_default_region": "us-east-1",
            "aws_endpoint_url": ceph.endpoint,
        }  # fmt: skip
        async with made.reprocessing(**settings, **pod_settings(tmp_path), **access):
            yield made, vault


def put_events(ceph: Ceph, folder: Path, files: int) -> str:
    """Files of events in a bucket of their own; its prefix."""
    write_events(folder, files, LINES)
    bucket = f"events-{uuid.uuid4().hex[:8]}"
    ceph.make_bucket(bucket)
    store = S3Store(bucket, **ceph.options)
    for path in sorted(folder.iterdir()):
        obstore.put(store, f"failover/{path.name}", path)
    return f"s3://{bucket}/failover/"


@pytest.mark.s3
@pytest.mark.parametrize(
    ("count", "kills"),
    [(30, 4), pytest.param(200, 20, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
    ids=["30 files, 4 pods killed", "200 files, 20 pods killed"],
)
async def test_killed_pods_lose_nothing_and_the_ledger_balances(
    harness: Harness, from_s3: tuple[Reprocessors, Vault], ceph: Ceph, count: int, kills: int
) -> None:
    made, vault = from_s3
    workers = count // 10
    prefix = await asyncio.to_thread(put_events, ceph, made.events, count)
    job = await made.planned(engine_kind="kubernetes", s3_path=prefix, batch_size=BATCH, max_events_per_second=600)
    submission = await submission_of(made, vault, job)
    await harness.engine.submit(submission)

    files, config = (
        json.loads(harness.kubectl("get", kind, f"reprocess-{job}-{part}", "-o", "json"))
        for kind, part in (("configmap", "files"), ("secret", "config"))
    )
    assert (files["data"]["worker_count"], files["data"]["total_files"]) == (str(workers), str(count))
    assert len(json.loads(files["data"]["files.json"])) == count
    keys = {"worker.json", "config.json", "database_url", "kafka_bootstrap_servers", "kafka_destinations_topic"}
    assert keys <= decoded(config).keys()
    assert decoded(config)["database_url"] == made.worker_url
    assert files["metadata"]["labels"]["job-id"] == config["metadata"]["labels"]["job-id"] == str(job)
    found = json.loads(harness.kubectl("get", "job", f"reprocess-{job}", "-o", "json"))
    assert (found["spec"]["completionMode"], found["spec"]["completions"]) == ("Indexed", workers)
    assert found["spec"]["ttlSecondsAfterFinished"] == 86_400

    step = count * LINES // (kills + 2)
    for killed in range(kills):
        running: list[str] = []

        async def a_pod_has_sent(least: int = (killed + 1) * step, running: list[str] = running) -> bool:
            pods = await asyncio.to_thread(harness.objects, "pods", f"job-id={job}")
            running[:] = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
            return bool(running) and (await made.sums(job))[1] > least

        await until(a_pod_has_sent, f"a pod runs and has sent before kill {killed + 1}", timeout_seconds=120)
        name = running[killed % len(running)]
        harness.kubectl("delete", "pod", name, "--force", "--grace-period=0", "--wait=false")

    end = await ended(harness, submission, seconds=400)
    assert end.phase is Phase.SUCCEEDED, (end, (await complete_log(harness, submission)).decode()[-3000:])
    assert await made.judged(job, PlanState.SUCCEEDED) == ("completed", None)
    assert await made.sums(job) == (count * LINES, count * LINES, 0, 0)
    delivered = await made.delivered()
    assert len(delivered) == count * LINES, "each event came, once after repeats are dropped by key"
    assert sum(delivered.values()) - len(delivered) <= kills * BATCH

    async def secrets_are_gone() -> bool:
        return not await vault.listed()

    await until(secrets_are_gone, "the secrets of the job that ended are removed", timeout_seconds=30)


async def test_a_worker_with_a_failed_file_fails_its_index_at_once_and_alone(
    harness: Harness, place: tuple[Reprocessors, Vault]
) -> None:
    made, vault = place
    write_events(made.events, 20, 10)
    damaged = made.events / "0003.ndjson.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    job = await made.planned(engine_kind="kubernetes")
    submission = await submission_of(made, vault, job)
    await harness.engine.submit(submission)
    end = await ended(harness, submission)
    assert end.phase is Phase.FAILED
    assert "1 of 2 indexes failed: 1 (exit code 4)" in end.message
    progress = (await harness.adapter.progress([watched(submission)]))[submission.run_key]
    assert {one.worker: one.phase for one in progress.workers} == {0: Phase.SUCCEEDED, 1: Phase.FAILED}
    status, error = await made.judged(job, PlanState.FAILED)
    assert (status, error) == ("failed", "1 files failed")


async def test_a_job_of_few_files_is_one_pod_and_knows_its_name(
    harness: Harness, place: tuple[Reprocessors, Vault]
) -> None:
    made, vault = place
    write_events(made.events, 2, 10)
    job = await made.planned(engine_kind="kubernetes", dry_run=True)
    row = (await made.rows("SELECT k8s_job_name FROM reprocessing_jobs WHERE id = $1", str(job)))[0]
    assert row["k8s_job_name"] == f"reprocess-{job}"
    submission = await submission_of(made, vault, job)
    await harness.engine.submit(submission)
    assert (await ended(harness, submission)).phase is Phase.SUCCEEDED
    assert await made.judged(job, PlanState.SUCCEEDED) == ("completed", None)
    assert not await made.delivered()


async def product_with_reprocessing(product: KubernetesProduct, kafka: str, folder: Path) -> Reprocessors:
    """The product's reprocessor and executor, started again with a vault and a destination."""
    stack = product.stack
    store, admin = stack.store("reprocessor"), stack.admin_url
    role = f"{store.schema}_worker"
    worker_url = await provision_worker(admin, store.url, role=role, password=uuid.uuid4().hex, schema=store.schema)
    await provision_vault(admin, writer_role=store.schema, readers={}, schema=f"{store.schema}_secrets")
    made = Reprocessors(store.url, store.schema, kafka, "", folder, worker_url=worker_url)
    made.events.mkdir()
    await create_destination(kafka, made.destination)
    changes: dict[str, Any] = {
        **pod_settings(folder), "secret_key": SecretStr(KEY), "secrets_url": SecretStr(admin),
        "secrets_schema": f"{store.schema}_secrets", "worker_database_url": SecretStr(worker_url),
        "reprocessing_kafka_bootstrap": kafka, "reprocessing_topic": made.destination,
        "reprocessing_local_folders": str(made.events),
    }  # fmt: skip
    names = ("reprocessor", "executor")
    await stack.stop(*names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FullStack, "settings", changed_settings(FullStack.settings, changes))
        await stack.start(*names)
    return made


async def test_from_the_api_to_pods_and_back_with_a_pod_killed(
    namespace: Harness, postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    async with running_product(namespace, postgres_url, kafka_bootstrap, tmp_path) as product:
        made = await product_with_reprocessing(product, kafka_bootstrap, tmp_path)
        write_events(made.events, 20, LINES)
        body = {"local_path": str(made.events), "connection_ids": ["lake"], "engine": "batch"}
        rate = {"max_events_per_second": 400, "batch_size": BATCH}
        job = await product.stack.ask("POST", JOBS, {**body, **rate})
        assert (job["total_files"], job["total_workers"]) == (20, 2)
        path, killed = f"{JOBS}/{job['id']}", False

        async def is_over() -> bool:
            nonlocal killed
            shown = await product.stack.ask("GET", path)
            if not killed and shown["success_count"] > BATCH:
                pod = namespace.objects("pods", f"job-id={job['id']}")[0]["metadata"]["name"]
                namespace.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")
                killed = True
            return shown["status"] in ("completed", "failed", "cancelled")

        await until(is_over, "the job ends", timeout_seconds=200)
        shown = await product.stack.ask("GET", path)
        logs = await product.stack.ask("GET", f"{path}/logs?tail=200")
        assert shown["status"] == "completed", (shown, logs)
        assert killed, "a pod was killed"
        assert shown["k8s_job_name"] == f"reprocess-{job['id']}"
        assert (shown["total_lines"], shown["success_count"], shown["balanced"]) == (20 * LINES, 20 * LINES, True)
        delivered = await made.delivered()
        assert len(delivered) == 20 * LINES
        assert sum(delivered.values()) - len(delivered) <= BATCH
        assert [one["worker_index"] for one in logs["logs"]] == [0, 1]
        assert all(any("done" in line for line in one["lines"]) for one in logs["logs"])
        assert made.worker_url not in json.dumps(logs)
