"""A process is only ever stopped when the pid file, its start time and the boot say that it is the one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from signalbox_local import launch
from signalbox_local.errors import ServerNotReady
from signalbox_local.process import OWNED, Lifetime, ServerProcess, read_pid_file, run

SLEEP = ["/bin/sleep", "300"]
DEADLINE_SECONDS = 10.0


def server(folder: Path, *, stop_seconds: float = 5.0) -> ServerProcess:
    return ServerProcess(folder, "sleeper", stop_signal=signal.SIGTERM, stop_seconds=stop_seconds)


@pytest.fixture
def sleeper(tmp_path: Path) -> Generator[ServerProcess]:
    process = server(tmp_path)
    yield process
    process.kill()


def write_record(file: Path, **changes: object) -> None:
    record = {
        "pid": os.getpid(), "start_ticks": launch.start_ticks(os.getpid()), "boot_id": launch.boot_id(),
        "name": "x", "stop_signal": 15, "stop_seconds": 1,
    }  # fmt: skip
    file.write_text(json.dumps({**record, **changes}))


def test_a_live_process_with_the_right_start_is_found(tmp_path: Path) -> None:
    write_record(tmp_path / "pid")
    found = read_pid_file(tmp_path / "pid")
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("changes", [{"start_ticks": 1}, {"boot_id": "another"}, {"pid": 2**22 + 1}])
def test_a_recycled_pid_is_never_stopped(tmp_path: Path, changes: dict[str, object]) -> None:
    """Without the check of start and boot, `down` after a reboot would kill whoever got the pid: here, this test."""
    process = server(tmp_path)
    write_record(process.pid_file, **changes)
    assert process.running() is None
    process.stop()
    process.kill()
    assert not process.pid_file.exists()


@pytest.mark.parametrize("text", ["", "{", "12", "{}", '{"pid": "x"}', "[]"])
def test_a_damaged_pid_file_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert read_pid_file(tmp_path / "pid") is None


def test_another_handle_on_the_folder_finds_and_stops_the_process(sleeper: ServerProcess, tmp_path: Path) -> None:
    sleeper.start(SLEEP, life=OWNED)
    other = server(tmp_path)
    assert other.pid == sleeper.pid is not None
    other.stop()
    assert sleeper.running() is None


def test_starting_what_runs_changes_nothing(sleeper: ServerProcess) -> None:
    sleeper.start(SLEEP, life=OWNED)
    before = sleeper.pid
    sleeper.start(SLEEP, life=OWNED)
    assert sleeper.pid == before


def test_a_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    stubborn = server(tmp_path, stop_seconds=0.2)
    script = "import signal,sys,time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    stubborn.start([sys.executable, "-c", script], life=OWNED)
    stubborn.wait_ready(lambda: "deaf" in stubborn.log_tail(), seconds=DEADLINE_SECONDS)
    stubborn.stop()
    assert stubborn.running() is None


def test_a_frozen_process_can_be_stopped(sleeper: ServerProcess) -> None:
    sleeper.start(SLEEP, life=OWNED)
    sleeper.freeze()
    started = time.monotonic()
    sleeper.stop()
    assert sleeper.running() is None
    assert time.monotonic() - started < sleeper.stop_seconds


def test_a_process_that_ends_while_starting_is_reported_with_its_log(sleeper: ServerProcess) -> None:
    sleeper.start(["/bin/sh", "-c", "echo no such luck; exit 3"], life=OWNED)
    with pytest.raises(ServerNotReady) as failed:
        sleeper.wait_ready(lambda: False, seconds=DEADLINE_SECONDS)
    assert "sleeper ended while starting" in failed.value.what
    assert "no such luck" in failed.value.what
    assert str(sleeper.log) in failed.value.what


def test_a_killed_process_that_had_not_gone_yet_is_started_again_once(tmp_path: Path, sleeper: ServerProcess) -> None:
    """SIGKILL takes a moment with a large process: `up` right after it found it running, and called it broken."""
    sleeper.start(SLEEP, life=OWNED)
    later = server(tmp_path)
    later.start(SLEEP, life=OWNED)
    before = sleeper.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    later.wait_ready(lambda: later.pid not in (None, before), seconds=DEADLINE_SECONDS)
    os.kill(later.pid or 0, signal.SIGKILL)
    with pytest.raises(ServerNotReady, match="ended while starting"):
        later.wait_ready(lambda: False, seconds=DEADLINE_SECONDS)


def test_a_process_that_never_answers_is_reported_with_its_pid(sleeper: ServerProcess) -> None:
    sleeper.start(SLEEP, life=OWNED)
    with pytest.raises(ServerNotReady, match=rf"pid {sleeper.pid}\) did not answer within 0 s"):
        sleeper.wait_ready(lambda: False, seconds=0.1)


def test_a_full_disk_in_the_log_becomes_the_advice(sleeper: ServerProcess) -> None:
    sleeper.start(["/bin/sh", "-c", "echo 'write: No space left on device'; exit 1"], life=OWNED)
    with pytest.raises(ServerNotReady) as failed:
        sleeper.wait_ready(lambda: False, seconds=DEADLINE_SECONDS)
    assert "free at least 1 GiB" in failed.value.advice


def test_a_program_that_cannot_be_run_is_reported_at_once(sleeper: ServerProcess) -> None:
    with pytest.raises(ServerNotReady, match="/no/such/program cannot be run"):
        sleeper.start(["/no/such/program"], life=OWNED)
    assert sleeper.running() is None


def test_a_helper_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ServerNotReady, match="sleep did not end within 0 s"):
        run(SLEEP, log=tmp_path / "log", seconds=0.1)


@pytest.mark.parametrize("owned", [True, False])
def test_an_owned_process_dies_with_its_starter_and_a_detached_one_does_not(tmp_path: Path, owned: bool) -> None:
    """Without it a killed test run would leave servers, or `up` would take its servers along when it ends."""
    script = (
        "import os, signal, sys, threading\n"
        "from pathlib import Path\n"
        "from signalbox_local.process import Lifetime, ServerProcess\n"
        f"process = ServerProcess(Path({str(tmp_path)!r}), 'sleeper', stop_signal=signal.SIGTERM, stop_seconds=1)\n"
        f"start = lambda: process.start({SLEEP!r}, life=Lifetime(owned={owned}))\n"
        "thread = threading.Thread(target=start); thread.start(); thread.join()\n"  # its end must not matter
        "assert process.running()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    process = server(tmp_path)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while owned and process.running() and time.monotonic() < deadline:
        os.sched_yield()
    try:
        assert (process.running() is None) == owned
    finally:
        process.kill()


def test_the_lock_is_held_until_the_server_executes(tmp_path: Path, sleeper: ServerProcess) -> None:
    """Without it `down` could look between fork and pid file, find nothing, and leave a server behind."""
    read, write = os.pipe()
    sleeper.start(SLEEP, life=Lifetime(owned=True, keep_fds=(write,)))
    os.close(write)
    with os.fdopen(read, "rb") as end:
        assert end.read() == b""  # end of file: the running server does not hold it any more
