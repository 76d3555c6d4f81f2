"""What the tests of the Kubernetes engine share: submissions, and waiting for what the engine says."""

from collections.abc import Collection
from typing import Any
from uuid import uuid4

from engines.harness import until
from engines.kubernetes.harness import Harness
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.port import EngineUnavailable, Observation, Phase, Submission, Watched


def new_submission(work: Work, **fields: Any) -> Submission:
    """The first attempt of a new task."""
    task_id = uuid4()
    return Submission(run_key=run_key(task_id, 1), task_id=task_id, attempt=1, work=work, **fields)


def watched(of: Submission) -> Watched:
    return Watched(of.run_key, of.attempt)


async def seen_in(harness: Harness, of: Submission, phases: Collection[Phase], seconds: float = 90) -> Observation:
    """Observe, through outages, until the run is in one of these phases."""
    seen: list[Observation] = []

    async def there() -> bool:
        try:
            seen.append((await harness.engine.observe([watched(of)]))[of.run_key])
        except EngineUnavailable:
            return False
        return seen[-1].phase in phases

    await until(there, f"{of.run_key} in one of {', '.join(phases)}", seconds)
    return seen[-1]


async def ended(harness: Harness, of: Submission, seconds: float = 90) -> Observation:
    return await seen_in(harness, of, {Phase.SUCCEEDED, Phase.FAILED, Phase.KILLED}, seconds)


async def complete_log(harness: Harness, of: Submission, limit: int = 1_000_000) -> bytes:
    """All there is to read now."""
    text = b""
    while page := (await harness.adapter.logs(watched(of), offset=len(text), limit=limit)).data:
        text += page
    return text
