"""The whole product with a real standalone cluster as an engine, used through API and command line."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from engines.harness import until
from engines.product import Product, changed_settings
from engines.spark.cluster import SparkCluster
from support.full_stack import FullStack, make_full_stack

APPS: Final = Path(__file__).with_name("apps")
ENDED: Final = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class SparkProduct(Product):
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
