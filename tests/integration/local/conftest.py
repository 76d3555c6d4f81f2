"""A folder per test that every account can enter, from which nothing may still run afterwards."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from stack_command import processes_in

from signalbox_local.programs import Programs


@pytest.fixture(scope="session")
def programs() -> Programs:
    """What the checkout has fetched, so that no test downloads anything again."""
    return Programs()


@pytest.fixture
def place() -> Generator[Path]:
    """Not `tmp_path`: that one is closed to the account PostgreSQL runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="signalbox-test-"))
    folder.chmod(0o711)
    yield folder
    left = processes_in(folder)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)
    assert left == [], "a server outlived its test"
