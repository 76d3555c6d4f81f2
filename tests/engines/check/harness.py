"""The check engine in a folder of its own. A check says in its log that it began: those lines are counted.

It needs no server, and its programs take a second each: it carries the marker so that the default run stays short.
"""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from engines.harness import WorkRequest
from engines.process.harness import Harness as ProcessHarness
from signalbox_contracts.definitions.work import CheckWork, FileCheck, HttpCheck, TcpCheck, Work
from signalbox_executor.engines.check.kind import FOLDER
from signalbox_executor.engines.process.output import read_output


class Harness(ProcessHarness):
    kind = "check"
    real_server = True
    plain_logs = False
    logs_hold_output = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.runs = folder / "engine" / FOLDER / "runs"
        self.connection = {"kind": "check"}
        self.settings = {
            "SIGNALBOX_PROCESS_FOLDER": str(folder / "engine"),
            "SIGNALBOX_PROCESS_WORKING_FOLDERS": str(folder),
            "SIGNALBOX_PROCESS_USER": "0" if os.geteuid() == 0 else "",
        }
        self.present = folder / "present"
        self.present.write_text("x")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.port = int(unused.getsockname()[1])
        """Nothing listens there."""

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        harness = cls(folder)
        harness.runs.mkdir(0o700, parents=True, exist_ok=True)
        yield harness

    def work(self, key: str, request: WorkRequest) -> Work:
        if request.refused:
            return self.wrong_work()[0]
        if request.endless:
            nobody = TcpCheck(host="127.0.0.1", port=self.port)
            return CheckWork(check=nobody, wait_seconds=600, every_seconds=0.5)
        present = self.present if not request.exit_code else self.folder / "absent"
        return CheckWork(check=FileCheck(path=str(present)))

    def wrong_work(self) -> tuple[Work, str]:
        return CheckWork(check=HttpCheck(url="http://169.254.169.254/latest")), "work.check.url"

    async def starts(self, key: str) -> int:
        folder = self.runs / key
        return read_output(folder, 0, 65_536)[1].count(b" began\n") if folder.exists() else 0
