"""The scripted engine: its real process on a free port. Every start is in its ledger before it answers."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from engines.harness import EngineHarness, WorkRequest
from signalbox_contracts.definitions.work import ScriptedWork, Work
from signalbox_executor.engines.port import Engine
from support.deadlines import block_until
from support.forked import Forked

LATE_SECONDS = 4.0
"""How long a submit of late work is under way, at least; a drive that gives up sooner leaves it in flight."""


class Harness(EngineHarness):
    kind = "scripted"
    real_server = False

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.connection = {"kind": "scripted", "url": url}

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        with ScriptedServer(folder / "engine") as server:
            yield cls(folder, server.url)

    def work(self, key: str, request: WorkRequest) -> Work:
        script: dict[str, Any] = {
            "never_ends": request.endless,
            "exit_code": request.exit_code,
            "log": request.log,
            "lose_answers": int(request.answer_is_lost),
            "refuse": "no such class" if request.refused else "",
            "accept_delay_seconds": LATE_SECONDS if request.late else 0,
            "forget_seconds": 1.0 if request.forgotten else None,
        }
        if request.result is not None:
            script["result_text"] = request.result
        return ScriptedWork(script=script)

    def wrong_work(self) -> tuple[Work, str]:
        return ScriptedWork(script={"run_secnods": 3}), "work.script.run_secnods"

    async def starts(self, key: str) -> int:
        return len((await ask_server(self.url, "/starts"))["starts"].get(key, ()))

    async def out_of_reach(self) -> Engine:
        return await self.open(url="http://127.0.0.1:1")


class ScriptedServer:
    """The process of a scripted engine, to be started, killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""

    def __enter__(self) -> Self:
        log = self.folder.with_name(f"{self.folder.name}.log")
        before = log.stat().st_size if log.exists() else 0
        self.process = Forked.start("scripted engine", {**os.environ, "FOLDER": str(self.folder)}, log)

        def new_lines() -> str:
            return log.read_text()[before:] if log.exists() else ""

        def started() -> bool:
            return new_lines().endswith("\n") or self.process.poll() is not None

        block_until(started, why="the scripted engine has an address", poll_seconds=0.01)
        self.url = new_lines().strip()
        assert self.url.startswith("http://127.0.0.1:"), f"the scripted engine did not start: {self.url}"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=20) in (0, -signal.SIGKILL)

    def kill(self) -> None:
        self.process.end()


async def ask_server(url: str, path: str, body: Any = None) -> Any:
    """One of the calls of the scripted engine that are for tests."""
    async with (
        aiohttp.ClientSession() as session,
        session.request("GET" if body is None else "POST", url + path, json=body) as response,
    ):
        return await response.json()
