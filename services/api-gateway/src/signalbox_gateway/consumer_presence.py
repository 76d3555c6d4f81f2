"""Whether the planner and the executors run, as Kafka sees their consumer groups: they act on what waits."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.read_model import wait_reasons

LATE_SECONDS: Final = 2.0
"""How long they may be silent before somebody who asks is told how they are."""
_LOOK_SECONDS: Final = 2.0


def late(since: str | None) -> bool:
    """Whether something waits for so long that its listener is worth a question."""
    return since is not None and datetime.now(UTC) - datetime.fromisoformat(since) > timedelta(seconds=LATE_SECONDS)


async def planner(deps: Dependencies, plan: str, since: str) -> dict[str, Any]:
    """The planner has not said anything of the plan; how it is."""
    group, problem = await _group(deps, "planner.control")
    words = problem
    if group is not None:
        words = f": it is {group['lag']} messages behind" if group["members"] else ": no planner runs"
    return wait_reasons.planner_silent(plan, since, words)


async def executor(deps: Dependencies) -> dict[str, Any] | None:
    """Why nothing is started, if no executor is there to do it."""
    group, _ = await _group(deps, "executor.control")
    return wait_reasons.no_executor() if group is not None and not group["members"] else None


async def _group(deps: Dependencies, name: str) -> tuple[dict[str, Any] | None, str]:
    """A consumer group, or what is wrong with Kafka."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            groups: list[dict[str, Any]] = (await deps.broker()).get("groups", [])
    except Exception:
        return None, ": Kafka does not answer either"
    return next((group for group in groups if group["group"].endswith(name)), None), ""
