"""What is known of runs while one of them cannot be looked at, without a cluster."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.kubernetes.adapter import KubernetesEngine
from signalbox_executor.engines.kubernetes.api import ApiRefusal
from signalbox_executor.engines.kubernetes.job import Job, read_job
from signalbox_executor.engines.kubernetes.manifest import RUN_KEY
from signalbox_executor.engines.port import EngineUnavailable, Watched


class Api:
    """Shows Jobs, and lets nobody read pods."""

    name, namespace = "k8s", "jobs"

    def path(self, kind: str, name: str = "") -> str:
        return kind

    async def pages(self, path: str, **query: Any) -> AsyncGenerator[dict[str, Any]]:
        raise ApiRefusal(403, "Forbidden", "pods is forbidden", ())
        yield {}


def job(key: str, *conditions: dict[str, str]) -> Job:
    metadata = {"name": key, "uid": key, "labels": {RUN_KEY: key}}
    return read_job({"metadata": metadata, "status": {"ready": 1, "conditions": conditions}})


class Jobs:
    def __init__(self) -> None:
        self.jobs = {"sb-1": job("sb-1"), "sb-2": job("sb-2", {"type": "Failed", "status": "True"})}

    async def current(self) -> dict[str, Job]:
        return self.jobs


async def test_a_run_whose_pods_cannot_be_read_hides_no_other() -> None:
    engine = KubernetesEngine(cast("Any", Api()), cast("Any", None))
    engine.jobs_watch = cast("Any", Jobs())
    seen = await engine.observe([Watched("sb-1", 1), Watched("sb-2", 1)])
    assert {key: one.phase for key, one in seen.items()} == {"sb-1": Phase.RUNNING}
    with pytest.raises(EngineUnavailable, match="its pods cannot be read"):
        await engine.observe([Watched("sb-2", 1)])
