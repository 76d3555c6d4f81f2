"""The Oozie engine: a real server of its own. Each run of a workflow leaves a folder, by run key."""

import asyncio
import json
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import pytest

from engines.harness import EngineHarness, WorkRequest, leave_when_begun
from engines.oozie.assembly import SERVER_FILES, why_not
from engines.oozie.oozie_process import OozieProcess
from signalbox_contracts.definitions.work import OozieWork, Work
from signalbox_executor.engines.port import Engine, Submission
from support.holding_proxy import HoldingProxy

APPLICATION = (SERVER_FILES / "fixtures" / "wf-request").as_uri()


class Harness(EngineHarness):
    kind = "oozie"
    plain_logs = False
    logs_hold_output = False
    lost_answer_point = "oozie.started"
    late_submit_starts = False
    proxy: HoldingProxy | None = None

    def __init__(self, folder: Path, server: OozieProcess) -> None:
        self.folder = folder
        self.stamps = folder / "stamps"
        self.connection = {"kind": "oozie", "url": server.url, "user": "alice"}
        self.server = server
        self.url = server.url

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        if reason := why_not():
            pytest.skip(f"a real Oozie: {reason}")
        server = OozieProcess.in_folder(folder / "server")
        server.start()
        try:
            yield cls(folder, server)
        finally:
            server.stop()

    @classmethod
    @contextmanager
    def started_to_be_late(cls, folder: Path) -> Generator[Self]:
        """Executors reach the server through a proxy, which `late` uses."""
        with cls.started(folder) as harness, HoldingProxy(harness.url.removesuffix("/oozie")) as proxy:
            harness.proxy = proxy
            harness.connection = {**harness.connection, "url": f"{proxy.url}/oozie"}
            yield harness

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        """The submit is under way; a job that it makes when its sender is dead stays unstarted."""
        assert self.proxy is not None
        with self.proxy.holding("/v2/jobs"):
            yield

    def forget(self, key: str) -> None:
        """The server loses its database."""
        self.server.kill()
        self.server.start()

    def work(self, key: str, request: WorkRequest) -> Work:
        mode = "hold" if request.endless else "fail" if request.exit_code else "pass"
        properties = {
            "runKey": key,
            "stamps": self.stamps.as_uri(),
            "mode": mode,
            "exitCode": str(request.exit_code),
            "hold": str(self.folder / "holds" / key),
        }
        path = f"{APPLICATION}-missing" if request.refused else APPLICATION
        return OozieWork(application_path=path, properties=properties)

    def wrong_work(self) -> tuple[Work, str]:
        return OozieWork(application_path=f"{APPLICATION}-missing"), "work.application_path"

    async def submit_without_answer(self, submission: Submission) -> None:
        await leave_when_begun(self, submission)

    async def starts(self, key: str) -> int:
        folder = self.stamps / key
        return len(list(folder.iterdir())) if folder.is_dir() else 0

    async def out_of_reach(self) -> Engine:
        return await self.open(url="http://127.0.0.1:1")

    async def end_all(self) -> None:
        await asyncio.to_thread(self._kill_all)

    def clean(self, key: str) -> None:
        self._kill_all()

    def _kill_all(self) -> None:
        """Kill whatever is not over, as an operator would in one call."""
        states = ";".join(f"status={state}" for state in ("PREP", "RUNNING", "SUSPENDED"))
        query = {"action": "kill", "jobtype": "wf", "filter": states, "len": "500", "user.name": "alice"}
        request = urllib.request.Request(f"{self.url}/v2/jobs?{urlencode(query)}", method="PUT")
        with urllib.request.urlopen(request, timeout=60) as response:
            json.loads(response.read() or b"{}")
