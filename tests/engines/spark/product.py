"""The whole product with a real standalone cluster as an engine, used through API and command line."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from engines.flink.product import changed_settings
from engines.harness import until
from engines.spark.cluster import SparkCluster
from support.deadlines import DeadlineExceeded
from support.full_stack import FullStack, make_full_stack

COMMAND: Final = Path(sys.executable).with_name("signalbox")
APPS: Final = Path(__file__).with_name("apps")
ENDED: Final = ("SUCCEEDED", "FAILED", "CANCELLED")


class EngineCommands:
    """The command line of a product, and its tasks."""

    stack: FullStack
    folder: Path

    @property
    def address(self) -> str:
        assert self.stack.session is not None
        return str(self.stack.session._base_url).rstrip("/")  # pyright: ignore[reportPrivateUsage]

    async def signalbox(self, *words: str, code: int = 0) -> str:
        """Run the command line as the administrator."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "SIGNALBOX_API_URL": self.address,
            "SIGNALBOX_TOKEN": self.stack.token,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, errors = await process.communicate()
        assert process.returncode == code, f"{process.returncode}: {errors.decode()} {out.decode()}"
        return out.decode() + (errors.decode() if code else "")

    async def json(self, *words: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(await self.signalbox(*words, "-o", "json"))

    async def task(self, id: str, states: Collection[str] = ENDED, *, seconds: float = 180) -> dict[str, Any]:
        """A task, once it is in one of these states."""
        seen: dict[str, Any] = {}

        async def there() -> bool:
            seen.update(await self.stack.ask("GET", f"/tasks/{id}"))
            return seen["state"] in states

        try:
            await until(there, f"{id} is {' or '.join(states)}", timeout_seconds=seconds)
        except DeadlineExceeded:
            pytest.fail(f"{id} is not {' or '.join(states)}: {json.dumps(seen, indent=1)}")
        return seen


@dataclass
class SparkProduct(EngineCommands):
    """Every service, and the cluster as two engines: `spark` with the start fence, `unfenced` without."""

    stack: FullStack
    cluster: SparkCluster
    folder: Path

    async def start(self, job: str, application: str, *words: str, engine: str = "spark") -> str:
        """Save a job by the command line and start it; the id of its task."""
        await self.signalbox("job", "create", job, "--spark", application, "--engine", engine, *words)
        plan = (await self.json("job", "start", job))["id"]
        found: list[Any] = []

        async def there() -> bool:
            found[:] = (await self.stack.ask("GET", f"/plans/{plan}/tasks"))["items"]
            return bool(found)

        await until(there, f"plan {plan} has its task", timeout_seconds=30)
        return found[0]["id"]


@asynccontextmanager
async def running_product(
    cluster: SparkCluster, postgres_url: str, kafka_bootstrap: str, folder: Path
) -> AsyncGenerator[SparkProduct]:
    """The product, with both engines registered."""
    changes: dict[str, Any] = {"blob_url": (folder / "blobs").as_uri(), "unknown_seconds": 1.0}
    events = (folder / "events").as_uri()
    (folder / "events").mkdir()
    logged = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALBOX_SPARK_EVENT_LOG_URL", events)
        patch.setattr(FullStack, "settings", changed_settings(FullStack.settings, changes))
        async with make_full_stack(postgres_url, kafka_bootstrap, "http://127.0.0.1:9", folder) as stack:
            product = SparkProduct(stack, cluster, folder)
            for id, start_url in (("spark", product.address), ("unfenced", None)):
                connection = cluster.connection(start_url=start_url)
                connection["conf"] |= {} if start_url else logged
                engine = {"id": id, "name": id, "connection": connection, "observe_every_seconds": 0.5}
                await stack.ask("POST", "/engines", engine)
            yield product
