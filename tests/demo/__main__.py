"""One pipeline, run twice through the public API: the initial load of a week, then one more day.

The executor is killed in the second step of the first run. Needs `signalbox-local up --services`. Exits with 1 unless
it saw a take-over, one start per run key, and the answers that were computed independently.
"""

import asyncio
import json
import os
import random
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import asyncpg
from rich.console import Console

from demo.api import Api, connected
from demo.drawing import waterfall
from demo.evidence import Start, expected_answer, faults, starts
from signalbox_client.drawings import SIGNS, timeline_lines
from signalbox_local.process import OWNED
from signalbox_local.progress import Reporter
from signalbox_local.services import SupervisedService
from signalbox_local.settings import Settings, load
from signalbox_local.signalbox import Signalbox

ROWS = 20_000
WINDOW_DAYS = 7
RUN_SECONDS = 120
SPAN_SECONDS = 8
KILL_AT: Final = "executor.before_record:3"
"""The third submit of the first run: the check, the ingestion, and then the processing."""
DATABASE = "signalbox_demo"
PIPELINE = "demo-sales"
console = Console(highlight=False, soft_wrap=True)


@dataclass
class Demo:
    """One run of it, in a working folder of its own."""

    stack: Signalbox
    api: Api
    folder: Path
    database_url: str
    """The administrator's."""
    seed: int = field(default_factory=lambda: random.randrange(1, 2**63))
    tasks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    killed_at: float | None = None
    _starts: int = 0
    """Starts of the executor until the one that is to die."""

    @property
    def executor(self) -> SupervisedService:
        return self.stack.services["executor"]

    async def prepare(self) -> None:
        """Make a database for the loader, keep its address as a secret, and save the pipeline."""
        password = secrets.token_hex(16)
        connection = await cast("Any", asyncpg).connect(self.database_url)
        try:
            known = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", DATABASE)
            verb = "ALTER" if known else "CREATE"
            await connection.execute(f"{verb} ROLE {DATABASE} LOGIN PASSWORD '{password}'")
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")
        finally:
            await connection.close()
        server = urlsplit(self.database_url)
        address = f"postgresql://{DATABASE}:{password}@{server.hostname}:{server.port}/{DATABASE}"
        await self.api.ask("PUT", "/secrets/demo-database", {"value": address, "uses": ["work"]})
        await self.api.define("pipelines", self._pipeline(server.hostname or "", server.port or 5432))

    def _pipeline(self, host: str, port: int) -> dict[str, Any]:
        def process(id: str, before: str, *words: str, **environment: str) -> dict[str, Any]:
            work = {
                "kind": "process", "argv": [str(self.stack.programs / id), *words],
                "working_directory": str(self.folder), "environment": environment,
            }  # fmt: skip
            return {"id": id, "engine": "local", "depends_on": [before], "work": work}

        ready = {"kind": "check", "check": {"type": "postgres", "host": host, "port": port}, "wait_seconds": 30}
        modes = {"type": "string", "choices": ["initial_load", "incremental"], "default": "incremental"}
        return {
            "id": PIPELINE,
            "name": "Sales by day",
            "params": {"mode": modes, "processing_window_days": {"type": "integer", "default": WINDOW_DAYS}},
            "environment": {
                "MODE": "{{ params.mode }}",
                "EVENT_DATE": "{{ event_date }}",
                "PROCESSING_WINDOW_DAYS": "{{ params.processing_window_days }}",
            },
            "steps": [
                {"id": "postgres_ready", "engine": "checks", "work": ready},
                process("ingestion", "postgres_ready", str(ROWS), str(self.seed)),
                process("processing", "ingestion", "2"),
                process("loader", "processing", "{{ steps.processing.result.file }}", self.folder.name,
                        DATABASE_URL="secret://demo-database"),
            ],
        }  # fmt: skip

    async def run(self, mode: str, day: date) -> dict[str, Any]:
        """Run the pipeline and see it to its end, with each change of a step as it happens; the plan at its end."""
        body = {"params": {"mode": mode}, "event_date": day.isoformat(), "reason": "demonstration"}
        plan = await self.api.ask("POST", f"/pipelines/{PIPELINE}/run", body)
        console.print(f"[bold]{mode}[/] of {day}  plan {plan['id']}")
        shown = await self._followed(plan["id"])
        for line in timeline_lines(shown, datetime.now(UTC)):
            console.print(f"    {line}", markup=False)
        for task in (await self.api.ask("GET", f"/plans/{plan['id']}/tasks"))["items"]:
            self.tasks.append(await self.api.ask("GET", f"/tasks/{task['id']}"))
        if shown["state"] != "SUCCEEDED":
            errors = [f"{task['item_key']}: {task.get('error')}" for task in self.tasks if task.get("error")]
            raise SystemExit(f"{mode} ended {shown['state']}: {'; '.join(errors) or shown.get('reason')}")
        return shown

    async def _followed(self, plan: str) -> dict[str, Any]:
        began = time.monotonic()
        states: dict[str, str] = {}
        version = 0
        while time.monotonic() - began < RUN_SECONDS:
            shown = await self.api.ask("GET", f"/plans/{plan}?wait=2s&min_version={version + 1}")
            version = int(shown["version"])
            steps: list[dict[str, Any]] = shown["steps"] or []
            for step in steps:
                if states.get(step["id"], "WAITING") != step["state"]:
                    seconds = time.monotonic() - began
                    console.print(f"    {seconds:5.1f} s  {SIGNS[step['state']]} {step['id']:<15} {step['state']}")
                states[step["id"]] = step["state"]
            self._look_for_the_kill()
            if shown["ended_at"] is not None:
                return shown
        raise TimeoutError(f"plan {plan} did not end within {RUN_SECONDS} s")

    async def arm(self) -> None:
        """Start the executor again, so that it dies after the engine started the second step, before it records it."""
        self._starts = self.executor.starts + 1
        self.executor.restart_with({"SIGNALBOX_CRASH_AT": KILL_AT})
        async with asyncio.timeout(60):
            while self.executor.starts < self._starts:  # noqa: ASYNC110 -- it is a file that changes
                await asyncio.sleep(0.02)

    def _look_for_the_kill(self) -> None:
        if self.killed_at is None and self.executor.starts > self._starts:
            self.killed_at = time.time()
            console.print("    [red]the executor was killed[/] (kill -9) between starting a step and writing that down")

    async def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, once its end is among them: services send theirs every few seconds."""
        spans: list[dict[str, Any]] = []
        give_up_at = time.monotonic() + SPAN_SECONDS
        while time.monotonic() < give_up_at and sum(span["name"].startswith("end") for span in spans) < 4:
            spans = (await self.api.request("GET", f"/traces/{trace_id}")).body.get("spans", [])
            await asyncio.sleep(0.2)
        return spans

    def took_over(self, since: int) -> bool:
        """Whether an executor says, after this place of its log, that it took a dead one's work over."""
        with self.executor.process.log.open("rb") as log:
            log.seek(since)
            return b"took over" in log.read()


def database_url(settings: Settings) -> str:
    """The administrator's address of the stack's database, as `signalbox-local env` gives it."""
    prefix = "export SIGNALBOX_DATABASE_URL="
    lines = (settings.stack / "env").read_text().splitlines()
    return next(line.removeprefix(prefix).strip("'") for line in lines if line.startswith(prefix))


async def main() -> int:
    settings = load()
    stack = Signalbox(settings, Reporter(), OWNED)
    if not stack.services["executor"].running():
        console.print("the services do not run: `signalbox-local up --services`")
        return 1
    folder = stack.work / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(parents=True)
    owner = stack.work.stat()
    if owner.st_uid:  # programs run as that user
        os.chown(folder, owner.st_uid, owner.st_gid)
    began = time.monotonic()
    async with connected(stack.api_url, stack.token_file) as api:
        demo = Demo(stack, api, folder, database_url(settings))
        log_began = demo.executor.process.log.stat().st_size
        await demo.prepare()
        yesterday = datetime.now(UTC).date() - timedelta(1)
        week = [yesterday - timedelta(n) for n in range(1, WINDOW_DAYS + 1)]
        console.print(f"a pipeline over {ROWS:,} sales a day in {folder}\n")
        await demo.arm()
        first = await demo.run("initial_load", week[0])
        second = await demo.run("incremental", yesterday)
        begun = starts(folder)
        found = faults(
            begun=begun,
            run_keys=[task["run_key"] for task in demo.tasks if task["engine"] == "local"],
            killed_at=demo.killed_at,
            took_over=demo.took_over(log_began),
            answer=[task["result"] for task in demo.tasks if task["item_key"] == "loader"],
            expected=[
                expected_answer(ROWS, demo.seed, week, week),
                expected_answer(ROWS, demo.seed, [yesterday, *week], [yesterday, *week[:-1]]),
            ],
        )
        await show(stack, demo, begun, first["trace_id"], second["id"])
    for fault in found:
        console.print(f"[red bold]not as promised:[/] {fault}")
    if not found:
        console.print(
            "\n[green bold]as promised[/]: an executor was killed and its work taken over, each run key was started "
            f"once,\nand both answers are those computed independently. {time.monotonic() - began:.1f} s"
        )
    return 1 if found else 0


async def show(stack: Signalbox, demo: Demo, begun: list[Start], trace: str, plan: str) -> None:
    """The evidence, and where to look further."""
    console.print("\n[bold]what the programs wrote down themselves[/]")
    for start in begun:
        at = time.strftime("%H:%M:%S", time.localtime(start.at))
        console.print(f"    {at}  {start.program:<10}  {start.run_key}")
    loader = demo.tasks[-1]
    console.print(f"\n[bold]the answer[/]  {json.dumps(loader.get('result'))}")
    console.print(f"\n[bold]one trace over every step of the initial load[/]  (signalbox trace {trace})")
    print_lines(waterfall(await demo.spans(trace)))
    console.print(f"\n[bold]the log of the last step[/]  (signalbox task logs {loader['id']})")
    log = await demo.api.request("GET", f"/tasks/{loader['id']}/logs")
    print_lines(log.text.splitlines())
    console.print(
        f"\nmore: signalbox plan list; signalbox pipeline graph {PIPELINE} --plan {plan}; {stack.api_url}/docs\n"
        f'      eval "$(signalbox-local env)"; export SIGNALBOX_TOKEN=$(cat {stack.token_file}) first\n'
        f"      {where_the_console_is(stack)}"
    )


def where_the_console_is(stack: Signalbox) -> str:
    """Its address once it is built, else what builds it."""
    if not stack.console.built:
        return "`make up` builds the web console"
    return f"web console: {stack.api_url}/console/ (user admin, password in {stack.password_file})"


def print_lines(lines: Sequence[str]) -> None:
    console.print("\n".join(f"    {line}" for line in lines), markup=False)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
