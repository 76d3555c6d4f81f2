"""The whole product with a namespace of a real cluster as an engine, used through the command line."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.harness import until
from engines.kubernetes.harness import Harness
from engines.product import Product, changed_settings
from support.full_stack import FullStack, make_full_stack


class KubernetesProduct(Product):
    """Every service, and a namespace as the engine `batch`, and as the default that the environment names."""

    def __init__(self, stack: FullStack, harness: Harness, folder: Path) -> None:
        self.stack = stack
        self.harness = harness
        self.folder = folder

    async def start(self, job: str) -> str:
        """Start a job; the id of its task."""
        plan = (await self.json("job", "start", job))["id"]
        found: list[Any] = []

        async def there() -> bool:
            found[:] = (await self.stack.ask("GET", f"/plans/{plan}/tasks"))["items"]
            return bool(found)

        await until(there, f"plan {plan} has its task", timeout_seconds=30)
        return found[0]["id"]


@asynccontextmanager
async def running_product(
    harness: Harness, postgres_url: str, kafka_bootstrap: str, folder: Path
) -> AsyncGenerator[KubernetesProduct]:
    """The product, with the engine registered."""
    changes: dict[str, Any] = {"blob_url": (folder / "blobs").as_uri()}
    with pytest.MonkeyPatch.context() as patch:
        named = {
            "K8S_CONFIG_PATH": str(harness.cluster.kubeconfig), "K8S_NAMESPACE": harness.namespace,
            "KUBERNETES_NODE_SELECTOR": '{"kubernetes.io/os": "linux"}',
        }  # fmt: skip
        for name, value in {**harness.settings, **named}.items():
            patch.setenv(name, value)
        patch.setattr(FullStack, "settings", changed_settings(FullStack.settings, changes))
        async with make_full_stack(postgres_url, kafka_bootstrap, "http://127.0.0.1:9", folder) as stack:
            engine = {"id": "batch", "name": "batch", "connection": harness.connection, "observe_every_seconds": 0.5}
            await stack.ask("POST", "/engines", engine)
            yield KubernetesProduct(stack, harness, folder)
