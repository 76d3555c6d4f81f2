"""How a program is run: its environment, its limits, its output, and what is refused."""

import asyncio
import errno
import os
import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.harness import until, watched
from engines.process.harness import SHELL, Harness
from engines.process.stand import ProcessStand
from signalbox_contracts.definitions.work import ProcessWork
from signalbox_executor.engines.port import EndCause, EngineRefused, EngineUnavailable, Observation, Phase, Submission
from signalbox_executor.engines.process import inspection, records, supervisor
from signalbox_executor.engines.process.adapter import ProcessEngine, ProcessHost, WrongHost, load_host_id
from signalbox_executor.engines.process.output import Output, read_output
from signalbox_executor.engines.process.permits import Permits
from signalbox_executor.engines.process.prune import prune


async def test_a_program_gets_what_was_given_and_nothing_of_ours(
    stand: ProcessStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor's environment holds secrets, its open files are connections."""
    monkeypatch.setenv("SIGNALBOX_DATABASE_URL", "postgresql://secret")
    plain = stand.shell("env; echo files; ls /proc/self/fd | wc -l; echo in; cat", environment={"GIVEN": "a b"})
    submission = Submission(
        run_key=plain.run_key, task_id=plain.task_id, attempt=1, work=plain.work, traceparent="00-1-2-01"
    )
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    variables, _, files = (await stand.output(submission)).partition("files\n")
    folder = stand.run_folder(submission)
    assert set(variables.splitlines()) == {
        "GIVEN=a b",
        f"SIGNALBOX_RUN_KEY={submission.run_key}",
        f"SIGNALBOX_TASK_ID={submission.task_id}",
        "SIGNALBOX_ATTEMPT=1",
        f"SIGNALBOX_RESULT={folder / 'out' / 'result'}",
        "TRACEPARENT=00-1-2-01",
        f"PWD={folder / 'work'}",  # the shell's own
    }
    assert files == "4\nin\n"  # the three streams and the folder `ls` reads; nothing to read


async def test_arguments_are_never_read_by_a_shell(stand: ProcessStand, tmp_path: Path) -> None:
    permits = Permits(programs=(Path("/bin/echo"),))
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=permits))
    submission = stand.shell("")
    work = ProcessWork(argv=("/bin/echo", "$(touch x); `touch y` | z", "a b"))
    await engine.submit(Submission(run_key=submission.run_key, task_id=submission.task_id, attempt=1, work=work))
    await stand.end_of(submission)
    assert await stand.output(submission) == "$(touch x); `touch y` | z a b\n"
    await engine.close()


async def test_a_time_limit_ends_the_whole_group_by_term_then_by_kill(stand: ProcessStand) -> None:
    stubborn = "trap '' TERM; (trap '' TERM; sleep 600) & sleep 600; sleep 600"
    submission = stand.shell(stubborn, seconds=2, stop_grace_seconds=0.2)
    await stand.engine.submit(submission)
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause, seen.exit_code) == (Phase.FAILED, EndCause.TIMED_OUT, 137)
    assert "time limit" in seen.message
    await stand.is_over(submission)


async def test_a_program_may_clean_up_when_it_is_cancelled(stand: ProcessStand) -> None:
    submission = stand.shell("trap 'echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "up")
    await stand.engine.cancel(watched(submission))
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause, seen.exit_code) == (Phase.KILLED, EndCause.CANCELLED, 0)
    assert "told to stop, ended with exit code 0" in seen.message
    assert "cleaned" in await stand.output(submission)


async def test_what_a_program_leaves_in_the_background_ends_with_it(stand: ProcessStand) -> None:
    submission = stand.shell("sleep 600 & echo done")
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    await stand.is_over(submission)


async def test_an_output_held_open_by_a_process_that_left_the_group_does_not_hold_up_the_end(
    stand: ProcessStand,
) -> None:
    submission = stand.shell("setsid sh -c 'touch left; exec sleep 600' & until [ -e left ]; do :; done")
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    await stand.is_over(submission)


async def test_a_program_ended_by_a_signal_says_which(stand: ProcessStand) -> None:
    submission = stand.shell("kill -SEGV $$")
    await stand.engine.submit(submission)
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.exit_code) == (Phase.FAILED, 139)
    assert "signal 11" in seen.message


async def test_a_program_that_cannot_be_started_is_refused_with_the_reason(stand: ProcessStand, tmp_path: Path) -> None:
    program = tmp_path / "no-program"
    program.touch(0o600)
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=Permits(programs=(program,))))
    submission = stand.shell("")
    work = ProcessWork(argv=(str(program),))
    await engine.submit(Submission(run_key=submission.run_key, task_id=submission.task_id, attempt=1, work=work))
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause, seen.exit_code) == (Phase.FAILED, EndCause.REFUSED, 127)
    assert "Permission denied" in seen.message
    await engine.close()


async def test_output_is_read_while_the_program_runs(stand: ProcessStand) -> None:
    submission = stand.shell("echo out; echo err >&2; until [ -e go ]; do sleep 0.01; done")
    await stand.engine.submit(submission)
    await stand.wait_for_output(submission, "out\nerr\n")
    assert (await stand.look(submission)).phase is Phase.RUNNING
    (stand.run_folder(submission) / "work" / "go").touch()
    await stand.end_of(submission)


def test_of_a_long_output_head_and_tail_are_kept(tmp_path: Path) -> None:
    """Four segments are the bound: two from the beginning, the two newest."""
    output = Output(tmp_path, segment_bytes=10)
    for number in range(100):
        output.write(f"{number:03}".encode())
    output.close()
    written = b"".join(f"{number:03}".encode() for number in range(100))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40
    assert read_output(tmp_path, 0, 6) == (0, written[:6])
    assert read_output(tmp_path, 15, 100) == (15, written[15:20])
    begin, data = read_output(tmp_path, 20, 100)
    assert (begin, data) == (280, written[280:290])
    assert read_output(tmp_path, 295, 100) == (295, written[295:])
    assert read_output(tmp_path, 300, 100) == (300, b"")


@contextmanager
def full_disk() -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_what_a_full_disk_did_not_take_at_the_end_is_seen(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.write(b"before")
    with full_disk():
        output.write(b"lost")
        output.close()
    assert read_output(tmp_path, 0, 100) == (0, b"before")
    assert read_output(tmp_path, 6, 100) == (10, b"")


def test_what_a_full_disk_did_not_take_is_a_gap_in_the_output(tmp_path: Path) -> None:
    """Otherwise what follows stands where the lost bytes were, and the log counts as complete."""
    output = Output(tmp_path)
    output.write(b"before")
    with full_disk():
        output.write(b"lost")
        output.write(b"lost as well")
    output.write(b"after")
    output.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.0", "output.22"]
    assert read_output(tmp_path, 0, 100) == (0, b"before")
    assert read_output(tmp_path, 6, 100) == (22, b"after")


def test_an_end_that_the_disk_does_not_take_is_written_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the supervisor dies with the exit code, and the program runs a second time."""
    faults, write_end = [OSError(errno.EIO, "a broken disk"), OSError(errno.ENOSPC, "a full disk")], records.write_end

    def broken(folder: Path, record: dict[str, Any]) -> None:
        if faults:
            raise faults.pop()
        write_end(folder, record)

    monkeypatch.setattr(records, "write_end", broken)
    supervisor._end(tmp_path, 1.0, phase="succeeded", exit_code=0)  # pyright: ignore[reportPrivateUsage]
    end = records.read(tmp_path, records.END)
    assert end is not None
    assert (end["phase"], end["exit_code"], end["started_at"]) == ("succeeded", 0, 1.0)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("work.argv[0]", {"argv": ("/bin/cat",)}, "'/bin/cat' is not allowed: allowed programs are /bin/sh"),
    ("work.argv[0]", {"argv": ("sh",)}, "'sh' is not allowed"),
    ("work.argv[0]", {"argv": ("/bin/../bin/cat",)}, "is not allowed"),
    ("work.working_directory", {"working_directory": "/etc"}, "allowed folders are "),
    ("work.working_directory", {"working_directory": "."}, "'.' is not allowed"),
    ("work.working_directory", {"working_directory": "{allowed}/../secret"}, "is not allowed"),
    ("work.working_directory", {"working_directory": "{allowed}/link"}, "is not allowed"),
    ("work.working_directory", {"working_directory": "{allowed}/missing"}, "there is no such folder"),
    ("work.environment", {"environment": {"LD_PRELOAD": "x.so"}}, "'LD_PRELOAD' is not allowed"),
    ("work.environment", {"environment": {"SIGNALBOX_RUN_KEY": "x"}}, "is not allowed"),
    ("work.environment", {"environment": {"A=B": "x"}}, "'A=B' is not allowed"),
    ("work.environment.A", {"environment": {"A": "\0"}}, "without a zero byte"),
    ("work", {"argv": ("/bin/sh", *["x" * 16_000] * 100)}, "bytes, 1048576 are allowed"),
]


@pytest.mark.parametrize(("field", "wrong", "reason"), REFUSED)
async def test_what_the_operator_does_not_allow_is_refused_with_field_value_and_choice(
    tmp_path: Path, field: str, wrong: dict[str, Any], reason: str
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (tmp_path / "secret").mkdir()
    (allowed / "link").symlink_to(tmp_path / "secret")
    permits = Permits(programs=(SHELL,), working_folders=(allowed,))
    engine = ProcessEngine(ProcessHost(folder=tmp_path / "engine", permits=permits))
    if "working_directory" in wrong:
        wrong = {"working_directory": wrong["working_directory"].format(allowed=allowed)}
    harness = Harness(tmp_path)
    work = ProcessWork.model_validate({"argv": ("/bin/sh",), **wrong})
    key = "sb-refused-1"
    with pytest.raises(EngineRefused) as refused:
        await engine.submit(Submission(run_key=key, task_id=_task(), attempt=1, work=work))
    assert refused.value.field == field
    assert reason in str(refused.value)
    assert await harness.starts(key) == 0
    assert not (tmp_path / "engine" / "runs" / key).exists()


@pytest.mark.parametrize("key", ["", "..", "a/b", "/etc", ".hidden", "x" * 64, "a\n"])
async def test_a_run_key_that_is_no_plain_name_is_refused(stand: ProcessStand, key: str) -> None:
    work = ProcessWork(argv=("/bin/sh",))
    with pytest.raises(EngineRefused) as refused:
        await stand.engine.submit(Submission(run_key=key, task_id=_task(), attempt=1, work=work))
    assert refused.value.field == "run_key"


async def test_an_allowed_working_folder_is_where_the_program_works(tmp_path: Path, stand: ProcessStand) -> None:
    (tmp_path / "data" / "day").mkdir(parents=True)
    permits = Permits(programs=(SHELL,), working_folders=(tmp_path / "data",))
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=permits))
    submission = stand.shell("pwd", working_directory=str(tmp_path / "data" / "day"))
    await engine.submit(submission)
    await stand.end_of(submission)
    assert await stand.output(submission) == f"{tmp_path}/data/day\n"
    await engine.close()


async def test_one_folder_is_one_host_and_another_host_says_nothing(stand: ProcessStand) -> None:
    """An executor elsewhere would find no folder, and "not found" there says nothing about the run."""
    submission = stand.shell("exit 0")
    handle = await stand.engine.submit(submission)
    host_id = load_host_id(stand.host.folder)
    assert handle == f"{host_id}/{submission.run_key}"
    same = ProcessEngine(stand.host, host_id=host_id)
    assert submission.run_key in await same.observe([watched(submission)])
    with pytest.raises(EngineUnavailable, match="belongs to host other"):
        await ProcessEngine(stand.host, host_id="other").observe([watched(submission)])


async def test_spoilt_records_of_one_run_do_not_hide_the_others(stand: ProcessStand) -> None:
    good, spoilt = stand.shell("exit 0"), stand.shell("exit 0")
    for submission in (good, spoilt):
        await stand.engine.submit(submission)
        await stand.end_of(submission)
    (stand.run_folder(spoilt) / "end.json").write_text("{")
    seen = await stand.engine.observe([watched(good), watched(spoilt)])
    assert (seen[good.run_key].phase, seen[spoilt.run_key].phase) == (Phase.SUCCEEDED, Phase.LOST)
    (stand.run_folder(spoilt) / "end.json").write_text('{"phase": "succeeded", "cause": "completed", "message": ""}')
    assert (await stand.look(spoilt)).phase is Phase.LOST


async def test_a_folder_that_cannot_be_read_hides_no_other_run_and_loses_none(
    stand: ProcessStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sector of the disk is bad, say. LOST would start the run again beside itself."""
    odd, good = stand.shell("sleep 600"), stand.shell("sleep 600")
    for submission in (odd, good):
        await stand.engine.submit(submission)

    inspect_well = inspection.inspect

    def inspect(folder: Path, handle: str) -> Observation:
        if folder.name == odd.run_key:
            raise OSError(errno.EIO, "Input/output error")
        return inspect_well(folder, handle)

    with monkeypatch.context() as patch:
        patch.setattr(inspection, "inspect", inspect)
        assert set(await stand.engine.observe([watched(odd), watched(good)])) == {good.run_key}
        with pytest.raises(EngineUnavailable, match="Input/output error"):
            await stand.engine.observe([watched(odd)])
    for submission in (odd, good):
        await stand.engine.cancel(watched(submission))
        await stand.end_of(submission)


async def test_a_supervisor_that_does_not_answer_in_time_makes_the_engine_unavailable(stand: ProcessStand) -> None:
    settings = ProcessHost(folder=stand.host.folder, permits=stand.host.permits, start_timeout_seconds=0.001)
    submission, late = stand.shell("exit 0"), ProcessEngine(settings)
    with pytest.raises(EngineUnavailable) as unavailable:
        await late.submit(submission)
    await late.close()
    assert unavailable.value.may_have_arrived
    await stand.engine.submit(submission)
    assert (await stand.end_of(submission)).phase is Phase.SUCCEEDED
    assert await stand.starts(submission.run_key) == 1


async def test_thirty_submits_at_once_all_run(stand: ProcessStand) -> None:
    submissions = [stand.shell("exit 0") for _ in range(30)]
    await asyncio.gather(*(stand.engine.submit(one) for one in submissions))

    async def all_succeeded() -> bool:
        seen = await stand.engine.observe([watched(one) for one in submissions])
        return {run.phase for run in seen.values()} == {Phase.SUCCEEDED}

    await until(all_succeeded, "all succeeded")
    assert [await stand.starts(one.run_key) for one in submissions] == [1] * 30


async def test_folders_of_runs_that_ended_long_ago_are_removed_and_no_others(stand: ProcessStand) -> None:
    old, new, running = stand.shell("exit 0"), stand.shell("exit 0"), stand.shell("sleep 60")
    for submission in (old, new, running):
        await stand.engine.submit(submission)
    for submission in (old, new):
        await stand.end_of(submission)
        await stand.is_over(submission)
    for path in (stand.run_folder(old) / "end.json", stand.run_folder(running) / "started.json"):
        os.utime(path, (0, 0))
    assert prune(stand.host.folder, keep_days=14) == 1
    assert not stand.run_folder(old).exists()
    assert stand.run_folder(new).exists()
    assert stand.run_folder(running).exists()
    assert not list(stand.host.folder.glob(".gone-*"))


async def test_the_folder_of_a_run_that_never_started_is_removed_with_its_secrets(tmp_path: Path) -> None:
    """Without it the values of secrets that it was given stay on the disk for ever."""
    old, new = (tmp_path / "runs" / name for name in ("old", "new"))
    for run in (old, new):
        run.mkdir(parents=True)
        records.write(run, records.SPEC, {"secrets": ["hunter22"]})
    os.utime(old, (0, 0))
    assert prune(tmp_path, keep_days=14) == 1
    assert [run.exists() for run in (old, new)] == [False, True]


async def test_a_folder_that_cannot_be_removed_stops_no_other(tmp_path: Path) -> None:
    names = ("first", "second", "third")
    for name in names:
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        records.mark(run, records.SEALED)
        os.utime(run / records.SEALED, (0, 0))
    blocked = tmp_path / ".gone-second"
    blocked.write_text("a file is in the way")
    assert prune(tmp_path, keep_days=14) == 2
    assert [name for name in names if (tmp_path / "runs" / name).exists()] == ["second"]
    blocked.unlink()
    assert prune(tmp_path, keep_days=14) == 1


async def test_a_host_the_operator_named_keeps_its_name_and_its_folder(tmp_path: Path) -> None:
    assert load_host_id(tmp_path, "host-a") == "host-a"
    assert load_host_id(tmp_path) == "host-a"
    with pytest.raises(WrongHost, match="'host-a'"):
        load_host_id(tmp_path, "host-b")


async def test_supervisors_outlive_the_starter_and_a_new_one_is_begun(stand: ProcessStand) -> None:
    first, second = stand.shell("sleep 0.3; echo done"), stand.shell("exit 0")
    await stand.engine.submit(first)
    await stand.engine.close()
    await stand.engine.submit(second)
    assert [(await stand.end_of(submission)).phase for submission in (first, second)] == [Phase.SUCCEEDED] * 2
    assert await stand.output(first) == "done\n"


def _task() -> Any:
    return "00000000-0000-0000-0000-000000000001"
