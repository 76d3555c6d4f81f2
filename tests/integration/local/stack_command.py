"""What the tests of the stack share: its command line with a state folder of its own, and a look at the processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
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


@contextmanager
def open_folder() -> Generator[Path]:
    """A new folder that every account can enter; afterwards nothing may still run in it.

    Not pytest's `tmp_path`: that one is closed to the account PostgreSQL runs as when we are root.
    """
    folder = Path(tempfile.mkdtemp(prefix="signalbox-test-"))
    folder.chmod(0o711)
    yield folder
    left = processes_in(folder)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)
    assert left == [], "a server outlived its test"


class Command:
    """`signalbox-local` on a state folder of its own, with what the user has fetched."""

    def __init__(self, place: Path, programs: Programs) -> None:
        self.stack = place / "stack"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        self.env = {
            **kept,
            "SIGNALBOX_CACHE": str(programs.settings.cache),
            "SIGNALBOX_LOCAL_STACK": str(self.stack),
        }

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "signalbox_local.app", *words]

    def __call__(self, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), env=self.env, capture_output=True, text=True, timeout=seconds, check=False
        )

    def status(self) -> list[dict[str, object]]:
        return json.loads(self("status", "-o", "json").stdout)
