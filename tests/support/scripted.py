"""A scripted engine of a test's own."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scripted_server(folder: Path) -> Generator[str]:
    """Its URL, while the block runs."""
    journal = folder / "engine"
    journal.mkdir()
    with (folder / "engine.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "signalbox_executor.engines.scripted.server", "--folder", str(journal)],
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert server.stdout is not None
    with server.stdout:
        yield server.stdout.readline().decode().strip()
        server.kill()
        server.wait()
