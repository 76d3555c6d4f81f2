"""The whole product with a real Flink cluster as its default engine, called as the document's user calls it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from engines.flink.cluster import FlinkCluster
from engines.flink.distribution import compiled_jobs
from engines.flink.jars import JarServer
from engines.harness import until
from engines.product import Product, changed_settings
from support.deadlines import DeadlineExceeded
from support.full_stack import FullStack, make_full_stack

DOCUMENT_API: Final = "http://localhost:8085"
DOCUMENT_JARS: Final = "http://data-processor:8080"
JAR: Final = "data-processor.jar"
ENDED: Final = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Reply:
    """What curl printed: the status and the JSON."""

    status: int
    body: Any


@dataclass
class FlinkProduct(Product):
    """Every service, the cluster, and the web server with the data-processor's JAR."""

    stack: FullStack
    cluster: FlinkCluster
    jars: JarServer
    folder: Path

    def written(self) -> list[str]:
        """What each run of the data-processor wrote: its job id, its attempt, the configuration it got."""
        path = self.cluster.folder / "data-processor"
        return path.read_text().splitlines() if path.exists() else []

    async def curl(self, command: str, *, header: str = "") -> Reply:
        """Run a command of the document with the hosts and ports of this test; a header may be added."""
        here = command.replace(DOCUMENT_API, self.address).replace(DOCUMENT_JARS, self.jars.url("").rstrip("/"))
        assert here.startswith("curl ")
        extra = f"-H '{header}' " if header else ""
        process = await asyncio.create_subprocess_shell(
            f"curl -sS --max-time 30 -w '\\n%{{http_code}}' {extra}{here.removeprefix('curl ')}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        text, _, status = out.decode().rpartition("\n")
        return Reply(int(status), json.loads(text) if text else None)

    async def create(self, id: str, **changes: Any) -> None:
        """Save a job in the document's fields; the tests' own job unless changed."""
        job: dict[str, Any] = {
            "id": id, "name": id, "jarURL": self.jars.url(JAR), "entryClass": "probe.Job",
            "retries": {"max_attempts": 1},
            "config": {"records": "20", "stamp": str(self.folder / f"{id}.stamps"), **changes.pop("config", {})},
        }  # fmt: skip
        await self.stack.ask("POST", "/jobs", {**job, **changes})

    async def start(self, id: str, **body: Any) -> None:
        await self.stack.ask("POST", f"/jobs/{id}/start", body)

    async def executions(self, id: str) -> list[dict[str, Any]]:
        return (await self.stack.ask("GET", f"/jobs/{id}/executions"))["items"]

    async def execution(self, id: str, states: Collection[str] = ENDED, *, seconds: float = 120) -> dict[str, Any]:
        """The newest execution, once it is in one of these states."""
        seen: list[Any] = []

        async def there() -> bool:
            seen[:] = (await self.executions(id))[:1]
            return bool(seen) and seen[0]["status"] in states

        try:
            await until(there, f"{id} is {' or '.join(states)}", timeout_seconds=seconds)
        except DeadlineExceeded:
            pytest.fail(f"{id} is not {' or '.join(states)}: {json.dumps(seen, indent=1)}")
        return seen[0]

    def starts(self, id: str) -> list[str]:
        """The Flink job id of each run that began, not counting Flink's own restarts of it."""
        path = self.folder / f"{id}.stamps"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [line[0] for line in lines if line[1] == "0"]


@asynccontextmanager
async def running_product(
    cluster: FlinkCluster, jars: JarServer, postgres_url: str, kafka_bootstrap: str, folder: Path
) -> AsyncGenerator[FlinkProduct]:
    """The product configured by the document's variables, with callers without a token as operators."""
    jars.put(JAR, compiled_jobs(cluster.version))
    changes = {
        "blob_url": (folder / "blobs").as_uri(), "flink_jobmanager_url": cluster.url, "anonymous_role": "operator",
        "airflow_url": "",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_PROCESSOR_URL", jars.url("").rstrip("/"))
        patch.setenv("SIGNALBOX_FLINK_JAR_MAX_BYTES", str(400 * 1024 * 1024))
        patch.setattr(FullStack, "settings", changed_settings(FullStack.settings, changes))
        async with make_full_stack(postgres_url, kafka_bootstrap, "http://127.0.0.1:9", folder) as stack:
            engine = await stack.ask("GET", "/engines/flink")
            await stack.ask("PUT", "/engines/flink", {**_writable(engine), "observe_every_seconds": 0.3})
            yield FlinkProduct(stack, cluster, jars, folder)


def _writable(engine: Mapping[str, Any]) -> dict[str, Any]:
    fields = ("id", "name", "connection", "labels", "limits")
    return {field: engine[field] for field in fields if field in engine}
