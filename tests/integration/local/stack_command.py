"""What the tests of the stack share: its command line with a state folder of its own, and a look at the processes."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from signalbox_local.programs import Programs


def processes_in(folder: Path) -> list[int]:
    """The processes that work in `folder` or name it on their command line."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            where = str((process / "cwd").readlink())
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            if where.startswith(str(folder)) or str(folder) in words:
                found.append(int(process.name))
    return found


class Command:
    """`signalbox-local` on a state folder of its own, with what the checkout has fetched."""

    def __init__(self, place: Path, programs: Programs) -> None:
        self.stack = place / "stack"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        self.env = {
            **kept,
            "SIGNALBOX_LOCAL": str(programs.settings.local),
            "SIGNALBOX_LOCAL_STACK": str(self.stack),
        }

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "signalbox_local.app", *words]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), env=self.env, capture_output=True, text=True, timeout=120, check=False
        )

    def status(self) -> list[dict[str, object]]:
        return json.loads(self("status", "-o", "json").stdout)
