"""Killed at any point, a run of the process engine is started once or not at all, and never lives on unseen."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from engines.harness import until, watched
from engines.process.stand import ProcessStand, lives
from signalbox_executor.engines.port import EndCause, EngineUnavailable, Phase
from signalbox_executor.engines.process import inspection, records
from support.proofs import proves

TESTS = Path(__file__).parents[2]


def submitter(stand: ProcessStand, task_id: UUID, text: str, crash_at: str = "") -> "subprocess.Popen[str]":
    """Another executor on the same folder."""
    command = [sys.executable, "-m", "engines.process.submitter", str(stand.stamps.parent), str(task_id), text]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "SIGNALBOX_CRASH_AT": crash_at}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("point", ["folder", "prepared", "asked", "started"])
async def test_the_submitter_killed_anywhere_and_the_key_submitted_again_is_one_start(
    stand: ProcessStand, point: str
) -> None:
    """Without it a worker that dies in the middle of a submit leaves a task that never runs, or runs twice."""
    task_id = uuid4()
    with submitter(stand, task_id, "exit 0", f"process.{point}") as killed:
        assert killed.wait(timeout=30) == -signal.SIGKILL
    submission = stand.shell("exit 0", task=task_id)
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    assert await stand.starts(submission.run_key) == 1


@proves("F17")
async def test_a_run_survives_the_executor_that_submitted_it(stand: ProcessStand) -> None:
    task_id = uuid4()
    submission = stand.shell("echo up; until [ -e go ]; do sleep 0.01; done", task=task_id)
    with submitter(stand, task_id, "echo up; until [ -e go ]; do sleep 0.01; done") as executor:
        assert executor.stdout is not None
        assert executor.stdout.readline()
        await stand.wait_for_output(submission, "up")
        executor.kill()
    assert (await stand.look(submission)).phase is Phase.RUNNING
    (stand.run_folder(submission) / records.WORK / "go").touch()
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    assert await stand.starts(submission.run_key) == 1


async def test_a_supervisor_killed_before_the_start_record_leaves_a_key_that_can_be_started(
    stand: ProcessStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = stand.shell("exit 0")
    monkeypatch.setenv("SIGNALBOX_CRASH_AT", "supervisor.locked")
    with pytest.raises(EngineUnavailable, match="did not start it"):
        await stand.engine.submit(submission)
    assert (await stand.look(submission)).phase is Phase.SUBMITTED
    monkeypatch.delenv("SIGNALBOX_CRASH_AT")
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    assert await stand.starts(submission.run_key) == 1


@pytest.mark.parametrize(("point", "starts"), [("supervisor.recorded", 0), ("supervisor.ended", 1)])
async def test_a_supervisor_killed_after_the_start_record_ends_the_attempt_for_good(
    stand: ProcessStand, monkeypatch: pytest.MonkeyPatch, point: str, starts: int
) -> None:
    """Nobody can tell whether the work was done, so the key is used up: another start might be a second one."""
    submission = stand.shell("exit 0")
    monkeypatch.setenv("SIGNALBOX_CRASH_AT", point)
    try:
        await stand.engine.submit(submission)
    except EngineUnavailable:
        assert point == "supervisor.recorded"
    monkeypatch.delenv("SIGNALBOX_CRASH_AT")
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).ended_at == seen.ended_at
    assert await stand.starts(submission.run_key) == starts


async def test_when_its_supervisor_is_killed_a_run_is_killed_before_its_end_is_reported(stand: ProcessStand) -> None:
    """Else the next attempt would start beside a program that has no time limit any more and cannot be stopped."""
    submission = stand.shell("setsid sleep 601 & echo up; exec sleep 600")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "up")

    async def both_run() -> bool:
        return len(records.carriers(submission.run_key)) == 2

    await until(both_run, "the program and its child run")
    os.kill(stand.supervisor_of(submission), signal.SIGKILL)
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    assert "supervisor died" in seen.message
    assert records.carriers(submission.run_key) == []


async def test_a_cancel_of_a_run_without_its_supervisor_still_sees_it_end(stand: ProcessStand) -> None:
    submission = stand.shell("echo up; exec sleep 600")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "up")
    os.kill(stand.supervisor_of(submission), signal.SIGKILL)
    await stand.engine.cancel(watched(submission))
    assert (await stand.end_of(submission)).phase is Phase.FAILED
    await stand.is_over(submission)


async def test_a_stranger_with_the_pid_of_a_lost_program_is_left_alone(stand: ProcessStand) -> None:
    """Pids are given out again: a kill by pid alone hits somebody else's process."""
    submission = stand.shell("echo up; exec sleep 600")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "up")
    os.kill(stand.supervisor_of(submission), signal.SIGKILL)
    with stranger_process() as stranger:
        _forge(stand.run_folder(submission), pid=stranger.pid)
        await stand.end_of(submission)
        assert lives(stranger.pid)
        stranger.kill()


async def test_after_a_restart_of_the_host_runs_of_before_have_ended(stand: ProcessStand) -> None:
    submission = stand.shell("echo up; exec sleep 600")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "up")
    os.kill(stand.supervisor_of(submission), signal.SIGKILL)
    _forge(stand.run_folder(submission), boot_id="an earlier one")
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    assert "host was started anew" in seen.message


async def test_a_wish_to_stop_that_came_before_the_supervisor_keeps_the_program_from_starting(
    stand: ProcessStand,
) -> None:
    """A cancel that was killed after it left its wish must still count."""
    submission = stand.shell("exit 0")
    stand.run_folder(submission).mkdir()
    records.mark(stand.run_folder(submission), records.CANCEL)
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.KILLED
    assert await stand.starts(submission.run_key) == 0


def test_a_key_whose_start_is_under_way_is_not_sealed(tmp_path: Path) -> None:
    """Sealed and started at once, the task would be over while its work runs."""
    with records.locked(tmp_path):
        with pytest.raises(TimeoutError):
            inspection.seal(tmp_path, 0.05)
        assert not (tmp_path / records.SEALED).exists()
    assert inspection.seal(tmp_path, 0.05)


async def test_a_supervisor_told_to_end_ends_its_run_first(stand: ProcessStand) -> None:
    """What an orderly shutdown of the host does."""
    submission = stand.shell("echo up; exec sleep 600")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "up")
    os.kill(stand.supervisor_of(submission), signal.SIGTERM)
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    await stand.is_over(submission)


def stranger_process() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["/bin/sleep", "600"])


def _forge(folder: Path, **changed: object) -> None:
    started = records.read(folder, records.STARTED)
    assert started is not None
    records.write(folder, records.STARTED, {**started, **changed})
