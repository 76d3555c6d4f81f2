"""Three jobs, one after the other, through the public API; the executor is killed in the middle of the second.

Needs `signalbox-local up --services`. Exits with 1 unless it saw a take-over, one start per run key, and the answer
that was computed independently.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.api import Api, connected
from demo.drawing import waterfall
from demo.evidence import Start, expected_answer, faults, starts
from signalbox_local.process import OWNED
from signalbox_local.progress import Reporter
from signalbox_local.services import SupervisedService
from signalbox_local.settings import load
from signalbox_local.signalbox import Signalbox

ROWS = 200_000
STEP_SECONDS = 60
KILL_SECONDS = 30
SPAN_SECONDS = 8
console = Console(highlight=False, soft_wrap=True)


@dataclass
class Demo:
    """One run of it, in a working folder of its own."""

    stack: Signalbox
    api: Api
    folder: Path
    seed: int = field(default_factory=lambda: random.randrange(1, 2**63))
    tasks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    killed_at: float | None = None

    @property
    def executor(self) -> SupervisedService:
        return self.stack.services["executor"]

    async def define(self) -> None:
        """The three jobs; their programs and the folder are what the operator of this stack allows."""
        programs = {
            "generate": [str(ROWS), str(self.seed), "sales.csv"],
            "aggregate": ["sales.csv", "totals.json", "3"],
            "query": ["totals.json"],
        }
        for name, words in programs.items():
            work = {
                "kind": "process",
                "argv": [str(self.stack.programs / name), *words],
                "working_directory": str(self.folder),
            }
            await self.api.define("jobs", {"id": f"demo-{name}", "name": name, "engine": "local", "work": work})

    async def run(self, name: str) -> dict[str, Any]:
        """Start a job and see it to its end; the task's last state."""
        began = time.monotonic()
        plan = await self.api.ask("POST", f"/jobs/demo-{name}/start", {"reason": "demonstration"})
        console.print(f"[bold]{name}[/]  plan {plan['id']}")
        ended = await self.api.ended(plan["id"], seconds=STEP_SECONDS)
        (task,) = (await self.api.ask("GET", f"/plans/{plan['id']}/tasks"))["items"]
        shown = await self.api.ask("GET", f"/tasks/{task['id']}")
        self.tasks.append({**shown, "trace_id": ended["trace_id"]})
        console.print(f"    {ended['state']} after {time.monotonic() - began:.1f} s, run key {shown['run_key']}")
        if ended["state"] != "SUCCEEDED":
            raise SystemExit(f"{name} ended {ended['state']}: {shown.get('error') or shown.get('reason')}")
        return shown

    async def run_and_kill(self, name: str) -> dict[str, Any]:
        """The same, with the executor killed after the engine started the run and before that was written down."""
        before = self.executor.starts
        self.executor.restart_with({"SIGNALBOX_CRASH_AT": "executor.before_record"})
        await self._executor(starts=before + 1)
        running = asyncio.create_task(self.run(name))
        try:
            await self._executor(starts=before + 2)
            self.killed_at = time.time()
            console.print("    [red]the executor was killed[/] (kill -9) between starting it and writing that down")
        except TimeoutError:
            console.print("    the executor was not killed")
        return await running

    async def _executor(self, *, starts: int) -> None:
        """Until its supervisor has started it so often; raises `TimeoutError`."""
        async with asyncio.timeout(KILL_SECONDS):
            while self.executor.starts < starts:  # noqa: ASYNC110 -- it is a file that changes
                await asyncio.sleep(0.02)

    async def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, once its end is among them: services send theirs every few seconds."""
        spans: list[dict[str, Any]] = []
        give_up_at = time.monotonic() + SPAN_SECONDS
        while time.monotonic() < give_up_at and not any(span["name"].startswith("end") for span in spans):
            spans = (await self.api.request("GET", f"/traces/{trace_id}")).body.get("spans", [])
            await asyncio.sleep(0.2)
        return spans

    def took_over(self, since: int) -> bool:
        """Whether an executor says, after this place of its log, that it took a dead one's work over."""
        with self.executor.process.log.open("rb") as log:
            log.seek(since)
            return b"took over" in log.read()


async def main() -> int:
    settings = load()
    stack = Signalbox(settings, Reporter(), OWNED)
    if not stack.services["executor"].running():
        console.print("the services do not run: `signalbox-local up --services`")
        return 1
    folder = stack.work / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(parents=True)
    began = time.monotonic()
    async with connected(stack.api_url, stack.token_file) as api:
        demo = Demo(stack, api, folder)
        log_began = demo.executor.process.log.stat().st_size
        await demo.define()
        console.print(f"three jobs of {ROWS:,} sales in {folder}\n")
        await demo.run("generate")
        await demo.run_and_kill("aggregate")
        answered = await demo.run("query")
        begun = starts(folder)
        found = faults(
            begun=begun,
            run_keys=[task["run_key"] for task in demo.tasks],
            killed_at=demo.killed_at,
            took_over=demo.took_over(log_began),
            answer=answered.get("result"),
            expected=expected_answer(ROWS, demo.seed),
        )
        await show(stack, demo, begun)
    for fault in found:
        console.print(f"[red bold]not as promised:[/] {fault}")
    if not found:
        console.print(
            "\n[green bold]as promised[/]: an executor was killed and its work taken over, each run key was started "
            f"once,\nand the answer is the one computed independently. {time.monotonic() - began:.1f} s"
        )
    return 1 if found else 0


async def show(stack: Signalbox, demo: Demo, begun: list[Start]) -> None:
    """The evidence, and where to look further."""
    console.print("\n[bold]what the programs wrote down themselves[/]")
    for start in begun:
        console.print(f"    {time.strftime('%H:%M:%S', time.localtime(start.at))}  {start.program:<9}  {start.run_key}")
    query, aggregate = demo.tasks[-1], demo.tasks[1]
    console.print(f"\n[bold]the answer[/]  {json.dumps(query.get('result'))}")
    console.print(f"\n[bold]the trace of step 2[/]  (signalbox trace {aggregate['trace_id']})")
    print_lines(waterfall(await demo.spans(aggregate["trace_id"])))
    console.print(f"\n[bold]the log of step 3[/]  (signalbox task logs {query['id']})")
    log = await demo.api.request("GET", f"/tasks/{query['id']}/logs")
    print_lines(log.text.splitlines())
    console.print(
        f"\nmore: signalbox plan list; signalbox task events {aggregate['id']}; {stack.api_url}/docs\n"
        f'      eval "$(signalbox-local env)"; export SIGNALBOX_TOKEN=$(cat {stack.token_file}) first'
    )


def print_lines(lines: Sequence[str]) -> None:
    console.print("\n".join(f"    {line}" for line in lines), markup=False)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
