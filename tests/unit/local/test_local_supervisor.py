"""The supervisor on small real programs: it starts again what ended, takes it along when it dies, and stops cleanly."""

import json
import os
import signal
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from signalbox_local import supervisor
from signalbox_local.process import OWNED, ServerProcess
from support.deadlines import block_until

NOTES_ITS_START = """
import os, signal, sys, time
with open("starts", "a") as file:
    file.write(f"{os.getpid()} {os.environ.get('ONCE', '')}\\n")
"""
WAITS = NOTES_ITS_START + "signal.pause()\n"


@dataclass
class Kept:
    """One supervisor of this test."""

    folder: Path
    process: ServerProcess = field(init=False)

    def __post_init__(self) -> None:
        self.process = ServerProcess(self.folder, "thing", stop_signal=signal.SIGTERM, stop_seconds=10)

    def run(self, program: str, *, stop_seconds: float = 5) -> None:
        command = [sys.executable, "-c", program]
        supervisor.ProcessSpec("thing", command, {"PATH": os.environ["PATH"]}, stop_seconds).write(self.folder)
        self.process.start([sys.executable, "-m", "signalbox_local.supervisor", str(self.folder)], life=OWNED)

    def starts(self) -> list[list[str]]:
        try:
            return [line.split() for line in (self.folder / "starts").read_text().splitlines()]
        except FileNotFoundError:
            return []


@pytest.fixture
def kept(tmp_path: Path) -> Generator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.process.kill()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_service_that_is_killed_is_there_again_and_the_log_says_so(kept: Kept) -> None:
    kept.run(WAITS)
    block_until(lambda: len(kept.starts()) == 1, why="never started")
    os.kill(int(kept.starts()[0][0]), signal.SIGKILL)
    block_until(lambda: len(kept.starts()) == 2, why="not started again")
    assert "was ended by SIGKILL: started again in 0.1 s" in kept.process.log.read_text()
    block_until(lambda: supervisor.child_of(kept.folder)["starts"] == 2, why="the second start is not recorded")
    pid = kept.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children == [kept.starts()[1][0]], "measurements look for it there"


def test_a_service_that_is_ended_by_a_signal_without_a_name_is_there_again(kept: Kept) -> None:
    kept.run(WAITS)
    block_until(lambda: len(kept.starts()) == 1, why="never started")
    os.kill(int(kept.starts()[0][0]), signal.SIGRTMIN + 1)
    block_until(lambda: len(kept.starts()) == 2, why="not started again")
    assert f"was ended by signal {signal.SIGRTMIN + 1}: started again" in kept.process.log.read_text()


def test_a_program_that_is_gone_for_a_moment_is_started_again(kept: Kept) -> None:
    """A package is replaced, or the host is short of memory: the supervisor ended, and nobody started the service."""
    program, elsewhere = kept.folder / "program", kept.folder / "elsewhere"
    program.write_text(f'#!/bin/sh\necho "$$" >> starts\n[ -e once ] || {{ touch once; mv {program} {elsewhere}; }}\n')
    program.chmod(0o755)
    supervisor.ProcessSpec("thing", [str(program)], {"PATH": os.environ["PATH"]}, 5).write(kept.folder)
    kept.process.start([sys.executable, "-m", "signalbox_local.supervisor", str(kept.folder)], life=OWNED)
    block_until(lambda: "cannot be started now" in kept.process.log.read_text(), why="never tried again")
    elsewhere.rename(program)
    block_until(lambda: len(kept.starts()) >= 2, why="not started again")


def test_a_service_that_keeps_ending_is_started_more_and_more_rarely() -> None:
    assert [supervisor.pause_after(n) for n in (1, 2, 3, 20)] == [0.1, 0.2, 0.4, 10.0]


def test_wrong_settings_end_the_keeper_too(kept: Kept) -> None:
    kept.run("raise SystemExit(2)")
    block_until(lambda: not kept.process.running(), why="it goes on although nothing can come of it")
    assert "its settings are wrong" in kept.process.log.read_text()


def test_a_stop_waits_for_an_orderly_end(kept: Kept) -> None:
    kept.run(
        NOTES_ITS_START
        + "signal.signal(signal.SIGTERM, lambda *_: (print('orderly', flush=True), sys.exit(0)))\nsignal.pause()"
    )
    block_until(lambda: len(kept.starts()) == 1, why="never started")
    _until_it_handles_term(int(kept.starts()[0][0]))
    kept.process.stop()
    assert "orderly" in kept.process.log.read_text()
    assert not alive(int(kept.starts()[0][0]))


def test_a_service_that_will_not_end_is_killed(kept: Kept) -> None:
    kept.run(NOTES_ITS_START + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)", stop_seconds=0.3)
    block_until(lambda: len(kept.starts()) == 1, why="never started")
    _until_it_handles_term(int(kept.starts()[0][0]))
    kept.process.stop()
    assert "did not end within" in kept.process.log.read_text()
    assert not alive(int(kept.starts()[0][0]))


def test_a_killed_keeper_takes_its_service_along(kept: Kept) -> None:
    """Without this a second `up` would run a second executor beside one that nobody watches."""
    kept.run(WAITS)
    block_until(lambda: len(kept.starts()) == 1, why="never started")
    kept.process.kill()
    block_until(lambda: not alive(int(kept.starts()[0][0])), why="the service lives on alone")


def test_variables_for_one_start_are_gone_at_the_next(kept: Kept) -> None:
    (kept.folder / supervisor.ONCE_FILE).write_text(json.dumps({"ONCE": "armed"}))
    kept.run(WAITS)
    block_until(lambda: len(kept.starts()) == 1, why="never started")
    os.kill(int(kept.starts()[0][0]), signal.SIGKILL)
    block_until(lambda: len(kept.starts()) == 2, why="not started again")
    assert [line[1:] for line in kept.starts()] == [["armed"], []]


def test_a_long_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_LIMIT_BYTES", 100)
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as handle:
        spec = supervisor.ProcessSpec("thing", ["/bin/true"], {}, 1)
        running = supervisor.Supervisor(tmp_path, spec, handle.fileno())
        handle.write(b"x" * 101)
        running._cut_log()  # pyright: ignore[reportPrivateUsage]
        handle.write(b"after")
    assert log.read_bytes() == b"after"
    assert log.with_suffix(".log.1").read_bytes() == b"x" * 101


def _until_it_handles_term(pid: int) -> None:
    """Whether SIGTERM is caught or ignored, by the kernel's own record."""

    def handles() -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigCgt", "SigIgn"))]
        return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)

    block_until(handles, why="it never got ready for SIGTERM")
