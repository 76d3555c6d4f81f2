"""The commands of the Flink job orchestrator's document, through every service, on a real session cluster."""

import hashlib
from datetime import datetime
from typing import Any

import pytest

from engines.flink.distribution import compiled_jobs
from engines.flink.product import DOCUMENT_API, JAR, FlinkProduct
from engines.harness import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]
CREATE = """curl -X POST http://localhost:8085/api/v1/jobs \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "data-processor-job",
    "jarURL": "http://data-processor:8080/data-processor.jar",
    "entryClass": "com.microserviceboilerplate.DataProcessor",
    "config": {
      "source": "socket",
      "sink": "postgres"
    }
  }'"""
START = "curl -X POST http://localhost:8085/api/v1/jobs/{job-id}/start"
SCHEDULE = """curl -X POST http://localhost:8085/api/v1/jobs/{job-id}/schedule \\
  -H "Content-Type: application/json" \\
  -d '{"cron": "0 * * * * *"}'"""
JOB = f"{DOCUMENT_API}/api/v1/jobs/{{job-id}}"


def of(command: str, job: str) -> str:
    return command.replace("{job-id}", job)


@pytest.mark.parametrize("minutes", [pytest.param(1), pytest.param(3, marks=pytest.mark.long)])
async def test_the_documents_commands_work_as_they_are_written(product: FlinkProduct, minutes: int) -> None:
    before = len(product.written())
    health = await product.curl(f"curl {DOCUMENT_API}/health")
    assert health.status == 200
    created = await product.curl(CREATE)
    assert created.status == 201
    job = created.body["id"]
    assert (await product.curl(f"curl {DOCUMENT_API}/api/v1/jobs")).status == 200
    shown = await product.curl(f"curl {of(JOB, job)}")
    assert shown.body["entryClass"] == "com.microserviceboilerplate.DataProcessor"
    assert (await product.curl(of(START, job))).status == 202
    first = await product.execution(job)
    assert (first["status"], first["error"]) == ("SUCCEEDED", None)
    assert first["jarSHA256"] == hashlib.sha256(compiled_jobs(product.cluster.version).read_bytes()).hexdigest()
    (line,) = product.written()[before:]
    assert line.startswith(f"{first['flinkJobId']} 0 ")
    assert "sink=postgres, source=socket" in line

    scheduled = await product.curl(of(SCHEDULE, job))
    assert scheduled.status == 200
    ticks = [datetime.fromisoformat(tick) for tick in scheduled.body["next"]]
    await product_ran(product, job, 1 + minutes)
    removed = await product.curl(f"curl -X DELETE {of(JOB, job)}/schedule")
    assert removed.status == 204
    by_schedule = (await product.executions(job))[:-1]
    assert len(by_schedule) == minutes
    for tick, execution in zip(ticks, reversed(by_schedule), strict=False):
        late = (datetime.fromisoformat(execution["createdAt"]) - tick).total_seconds()
        assert 0 <= late < 15, f"the run of {tick} was made {late:.1f} s late"
    lines = product.written()[before:]
    assert len(lines) == 1 + minutes
    assert all("sink=postgres, source=socket" in line for line in lines)

    assert (await product.curl(f"curl -X POST {of(JOB, job)}/stop")).status == 202
    executions = await product.curl(f"curl {of(JOB, job)}/executions")
    assert [one["status"] for one in executions.body["items"]] == ["SUCCEEDED"] * (1 + minutes)
    assert (await product.curl(f"curl -X DELETE {of(JOB, job)}")).status == 204
    assert (await product.curl(f"curl {of(JOB, job)}")).status == 404


async def product_ran(product: FlinkProduct, job: str, runs: int) -> None:
    """Return when this many executions succeeded."""

    async def ran() -> bool:
        return [one["status"] for one in await product.executions(job)] == ["SUCCEEDED"] * runs

    await until(ran, f"{runs} executions of {job} succeeded", timeout_seconds=65 * runs)


async def test_a_running_job_is_stopped_by_the_documents_command(product: FlinkProduct) -> None:
    await product.create("endless", config={"records": "100000000", "per-second": "10"})
    assert (await product.curl(of(START, "endless"))).status == 202
    running = await product.execution("endless", ["RUNNING"])
    assert (await product.curl(f"curl -X POST {of(JOB, 'endless')}/stop")).status == 202
    stopped = await product.execution("endless")
    assert (stopped["status"], stopped["flinkJobId"]) == ("STOPPED", running["flinkJobId"])
    assert product.cluster.jobs()[running["flinkJobId"]] == "CANCELED"
    changed = await product.curl(
        f"curl -X PUT {of(JOB, 'endless')} -H 'Content-Type: application/json' -d "
        '\'{"name": "endless", "entryClass": "probe.Job", "config": {"records": 5}}\''
    )
    assert (changed.status, changed.body["jarURL"], changed.body["config"]) == (200, None, {"records": "5"})
    await product.start("endless")
    again = await product.execution("endless")
    assert (again["status"], again["jarURL"]) == ("SUCCEEDED", product.jars.url(JAR))  # from DATA_PROCESSOR_URL


async def test_with_a_token_the_commands_work_and_without_one_they_are_401_and_change_nothing(
    product: FlinkProduct, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same gateway without a role for anonymous callers, as by default."""
    settings = type(product.stack).settings

    def strict(self: Any, name: str) -> Any:
        found = settings(self, name)
        has_role = "anonymous_role" in type(found).model_fields
        return found.model_copy(update={"anonymous_role": ""} if has_role else {})

    await product.stack.stop("api-gateway")
    with monkeypatch.context() as patch:
        patch.setattr(type(product.stack), "settings", strict)
        await product.stack.start("api-gateway")
    try:
        bearer = f"Authorization: Bearer {product.stack.token}"
        named = CREATE.replace("data-processor-job", "with a token")
        before = (await product.stack.ask("GET", "/jobs?limit=200"))["items"]
        for command in (named, of(START, "endless"), of(SCHEDULE, "endless"), f"curl -X DELETE {of(JOB, 'endless')}"):
            for header in ("", "Authorization: Bearer sb_nobody_nothing"):
                refused = await product.curl(command, header=header)
                assert (refused.status, refused.body["type"]) == (401, "/problems/unauthenticated")
        assert (await product.stack.ask("GET", "/jobs?limit=200"))["items"] == before
        created = await product.curl(named, header=bearer)
        assert created.status == 201
        job = created.body["id"]
        assert (await product.curl(of(START, job), header=bearer)).status == 202
        assert (await product.execution(job))["status"] == "SUCCEEDED"
        assert (await product.curl(of(SCHEDULE, job), header=bearer)).status == 200
        assert (await product.curl(f"curl -X DELETE {of(JOB, job)}/schedule", header=bearer)).status == 204
        assert (await product.curl(f"curl -X DELETE {of(JOB, job)}", header=bearer)).status == 204
    finally:
        await product.stack.stop("api-gateway")
        await product.stack.start("api-gateway")
