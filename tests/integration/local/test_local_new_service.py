"""A service that is one folder is started by the local stack: no list in any other file names it."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from stack_command import Command

from signalbox_local.programs import Programs

EXAMPLE = Path(__file__).parents[2] / "example"
UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def command(place: Path, programs: Programs, tmp_path: Path) -> Generator[Command]:
    """A command line beside which the example service is installed."""
    installed = tmp_path / "installed"
    subprocess.run(
        [str(UV), "pip", "install", "-q", "--python", sys.executable, "--no-build-isolation", "--no-deps",
         "--target", str(installed), str(EXAMPLE)],
        check=True, timeout=120,
    )  # fmt: skip
    command = Command(place, programs)
    command.env["PYTHONPATH"] = str(installed)
    yield command
    command("down")


@pytest.mark.timeout(300)
def test_an_installed_service_gets_its_topics_schema_and_process_by_its_declaration(command: Command) -> None:
    up = command("up", "--services", seconds=240)
    assert up.returncode == 0, up.stderr
    (row,) = [row for row in command.status() if row["server"] == "example"]
    assert row["state"] == "healthy"
    assert isinstance(row["pid"], int)
    os.kill(row["pid"], 0)
    assert "stopped example" in command("down").stdout
