"""The running stack as a measurement sees it: its API, its scripted engine, and what each of its processes used."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp

from signalbox_contracts.services import installed_services
from signalbox_local.settings import cache_folder
from signalbox_local.signalbox import SCRIPTED

HOME = Path(__file__).parents[2]
STACK = HOME / ".local" / "bench" / "stack"
LIGHT_PROGRAM = HOME / ".local" / "bench" / "programs" / "light"
"""The light task of Windmill's benchmark, which the engine `local` may run."""
LIGHT_TEXT = """#!{python} -IS
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
print(fibonacci(10))
"""
LOCAL = Path(sys.executable).with_name("signalbox-local")
SERVICES = (*(spec.name for spec in installed_services()), SCRIPTED)
ENGINE = "bench"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Bench:
    """One stack under measurement."""

    environment: Mapping[str, str]
    session: aiohttp.ClientSession
    pids: dict[str, int] = field(default_factory=dict[str, int])

    async def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Call the API; anything but success ends the measurement."""
        url = f"{self.environment['SIGNALBOX_API_URL']}/api/v1{path}"
        async with self.session.request(method, url, json=body or None) as answer:
            text = await answer.text()
            if answer.status >= 300:
                sys.exit(f"{method} {path}: {answer.status} {text[:1000]}")
            return cast("dict[str, Any]", json.loads(text)) if text else {}

    async def until_ended(self, plan: str, *, seconds: float = 300) -> dict[str, Any]:
        """The plan once it is over."""
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            shown = await self.ask("GET", f"/plans/{plan}?wait=30s&until=end")
            if shown["ended_at"] is not None:
                return shown
        sys.exit(f"plan {plan} did not end within {seconds:.0f} s")

    async def starts(self) -> dict[str, list[dict[str, Any]]]:
        """Every start the engine accepted, by run key."""
        async with self.session.get(f"{self.environment['SIGNALBOX_SCRIPTED_URL']}/starts") as answer:
            return (await answer.json())["starts"]

    def cpu_seconds(self) -> dict[str, float]:
        """What each process has used since it began."""
        used: dict[str, float] = {}
        for name, pid in self.pids.items():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used[name] = (int(fields[11]) + int(fields[12])) / TICKS
        return used


def write_light_program() -> None:
    LIGHT_PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    LIGHT_PROGRAM.write_text(LIGHT_TEXT.replace("{python}", sys.executable))
    LIGHT_PROGRAM.chmod(0o755)


@asynccontextmanager
async def running() -> AsyncGenerator[Bench]:
    """The whole stack with the scripted engine, in a folder of its own; stopped afterwards."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    mine = {
        "SIGNALBOX_CACHE": str(cache_folder()), "SIGNALBOX_LOCAL_STACK": str(STACK), "SIGNALBOX_PORT": "18099",
        "SIGNALBOX_PROCESS_PROGRAMS": str(LIGHT_PROGRAM),
        "SIGNALBOX_TRACE_RATIO": os.environ.get("BENCH_TRACE_RATIO", "1.0"),
    }  # fmt: skip
    environment = {**outside, **mine}
    write_light_program()
    await _local(environment, "up", "--services", "--scripted")
    try:
        output = await _local(environment, "env")
        exports = dict(line.removeprefix("export ").split("=", 1) for line in output.splitlines() if "=" in line)
        addresses = {name: value.strip("'\"") for name, value in exports.items()}
        token = (STACK / "admin-token").read_text().strip()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            bench = Bench(addresses, session, _pids())
            await _register(bench)
            yield bench
    finally:
        await _local(environment, "down")


async def _register(bench: Bench) -> None:
    known = await bench.ask("GET", "/engines")
    if ENGINE in [engine["id"] for engine in known["items"]]:
        return
    await bench.ask(
        "POST", "/engines", id=ENGINE, limits={"concurrency": 10_000}, observe_every_seconds=1,
        connection={"kind": "scripted", "url": bench.environment["SIGNALBOX_SCRIPTED_URL"]},
    )  # fmt: skip


async def _local(environment: Mapping[str, str], *words: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, [str(LOCAL), *words], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"signalbox-local {' '.join(words)}: {done.stderr[-3000:]}")
    return done.stdout


def _pids() -> dict[str, int]:
    """The services' own processes, which are children of their supervisors."""
    found: dict[str, int] = {}
    for name in SERVICES:
        for file in STACK.glob(f"{name}*/server.pid"):
            supervisor = int(json.loads(file.read_text())["pid"])
            found[name] = _child(supervisor)
    return found


def _child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def percentile(samples: Sequence[float], part: float) -> float:
    """The sample below which this part of all lies."""
    in_order = sorted(samples)
    return in_order[min(len(in_order) - 1, int(len(in_order) * part))]
