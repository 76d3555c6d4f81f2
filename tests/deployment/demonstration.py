"""The demonstration pipeline on a stack that was shipped: through its API alone, with the answer computed again."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import aiohttp

from demo.api import Api
from demo.evidence import expected_answer

ROWS: Final = 2_000
WINDOW_DAYS: Final = 3
PIPELINE: Final = "demo-sales"
PROGRAMS: Final = "/opt/signalbox/programs"
WORK: Final = "/var/lib/signalbox/work"
RUN_SECONDS: Final = 240
ENGINES: Final[tuple[dict[str, Any], ...]] = (
    {"id": "local", "name": "Processes", "connection": {"kind": "process"}, "observe_every_seconds": 0.5},
    {
        "id": "checks", "name": "Checks", "connection": {"kind": "check"}, "observe_every_seconds": 0.5,
        "on_unknown": "retry",
    },
)  # fmt: skip


@dataclass
class Demonstration:
    """The pipeline over days of sales, run again and again on one stack."""

    api: Api
    postgres: tuple[str, int] = ("postgres", 5432)
    """Where the executor reaches PostgreSQL."""
    seed: int = field(default_factory=lambda: random.randrange(1, 2**63))
    days: list[date] = field(default_factory=list[date])

    async def define(self, database_url: str) -> None:
        """Engines, the address of the database as a secret, and the pipeline."""
        for engine in ENGINES:
            await self.api.define("engines", engine)
        await self.api.ask("PUT", "/secrets/demo-database", {"value": database_url, "uses": ["work"]})
        await self.api.define("pipelines", self._pipeline())

    def _pipeline(self) -> dict[str, Any]:
        def process(id: str, before: str, *words: str, **environment: str) -> dict[str, Any]:
            work = {
                "kind": "process", "argv": [f"{PROGRAMS}/{id}", *words], "working_directory": WORK,
                "environment": environment,
            }  # fmt: skip
            retries = {"max_attempts": 3}
            return {"id": id, "engine": "local", "depends_on": [before], "work": work, "retries": retries}

        host, port = self.postgres
        ready = {"kind": "check", "check": {"type": "postgres", "host": host, "port": port}, "wait_seconds": 30}
        return {
            "id": PIPELINE,
            "name": "Sales by day",
            "params": {"mode": {"type": "string", "default": "incremental"}},
            "environment": {
                "MODE": "{{ params.mode }}",
                "EVENT_DATE": "{{ event_date }}",
                "PROCESSING_WINDOW_DAYS": str(WINDOW_DAYS),
            },
            "steps": [
                {"id": "postgres_ready", "engine": "checks", "work": ready},
                process("ingestion", "postgres_ready", str(ROWS), str(self.seed)),
                process("processing", "ingestion", "6"),
                process("loader", "processing", "{{ steps.processing.result.file }}", "shipped",
                        DATABASE_URL="secret://demo-database"),
            ],
        }  # fmt: skip

    async def initial_load(self, *, interrupt: Callable[[], None] | None = None) -> dict[str, Any]:
        """The first days; `interrupt` is called while the second step runs."""
        day = datetime.now(UTC).date() - timedelta(10)
        self.days = [day - timedelta(n) for n in range(WINDOW_DAYS)]
        return await self._run("initial_load", day, interrupt)

    async def next_day(self) -> dict[str, Any]:
        """One day more."""
        self.days.append(max(self.days) + timedelta(1))
        return await self._run("incremental", self.days[-1], None)

    async def _run(self, mode: str, day: date, interrupt: Callable[[], None] | None) -> dict[str, Any]:
        body = {"params": {"mode": mode}, "event_date": day.isoformat(), "reason": "a test of what is shipped"}
        plan = await self.api.ask("POST", f"/pipelines/{PIPELINE}/run", body)
        if interrupt is not None:
            await self._until_running(plan["id"], "processing")
            await asyncio.to_thread(interrupt)
        shown = await self.api.ended(plan["id"], seconds=RUN_SECONDS)
        assert shown["state"] == "SUCCEEDED", shown
        result = next(step["result"] for step in await self._tasks(plan["id"]) if step["item_key"] == "loader")
        window = [day - timedelta(n) for n in range(WINDOW_DAYS)]
        expected = expected_answer(ROWS, self.seed, self.days, window)
        assert {name: result[name] for name in expected} == expected, (result, expected)
        return shown

    async def _tasks(self, plan: str) -> list[dict[str, Any]]:
        listed = await self.api.ask("GET", f"/plans/{plan}/tasks")
        return [await self.api.ask("GET", f"/tasks/{task['id']}") for task in listed["items"]]

    async def _until_running(self, plan: str, step: str) -> None:
        give_up_at = time.monotonic() + RUN_SECONDS
        while time.monotonic() < give_up_at:
            shown = await self.api.ask("GET", f"/plans/{plan}?wait=1s&min_version=1")
            steps: list[dict[str, Any]] = shown["steps"] or []
            states = {one["id"]: one["state"] for one in steps}
            if states.get(step) == "RUNNING":
                return
            assert shown["ended_at"] is None, shown
            await asyncio.sleep(0.2)
        raise TimeoutError(f"step {step} of plan {plan} did not run")


def session(token: str) -> aiohttp.ClientSession:
    """A session with the administrator's token."""
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(total=90))
