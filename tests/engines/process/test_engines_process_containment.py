"""What a run can and cannot reach: the tests of `docs/architecture/containment.md` about processes."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engines.harness import until, watched
from engines.process.harness import SHELL
from engines.process.stand import ProcessStand
from signalbox_contracts.definitions.work import ProcessWork
from signalbox_executor.engines.port import EndCause, EngineRefused, EngineUnavailable, Phase, Submission
from signalbox_executor.engines.process import cgroup, containment, records
from signalbox_executor.engines.process.adapter import ProcessEngine, ProcessHost
from signalbox_executor.engines.process.permits import Permits, RunUser

ROOT = os.geteuid() == 0
ANYONE = 61_185
needs_root = pytest.mark.skipif(not ROOT, reason="another user can be taken only by root")


def asking(stand: ProcessStand, **work: Any) -> Submission:
    plain = stand.shell("")
    return Submission(run_key=plain.run_key, task_id=plain.task_id, attempt=1, work=ProcessWork.model_validate(work))


async def refused(engine: ProcessEngine, of: Submission) -> str:
    with pytest.raises(EngineRefused) as refusal:
        await engine.submit(of)
    return refusal.value.field


def sleepers(marker: str) -> list[int]:
    """Living processes whose arguments hold this text."""
    found: list[int] = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                if marker.encode() in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
    return found


async def test_a_link_on_the_way_to_a_program_leads_to_no_other_program(stand: ProcessStand, tmp_path: Path) -> None:
    """`<work>/l/../../opt/etl.sh` was compared as text and run by its real path: any program could be started."""
    allowed = tmp_path / "opt" / "etl.sh"
    other = tmp_path / "place" / "opt" / "etl.sh"
    for program in (allowed, other):
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho $0\n")
        program.chmod(0o755)
    (tmp_path / "place" / "sub").mkdir()
    (tmp_path / "l").symlink_to(tmp_path / "place" / "sub")
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=Permits(programs=(allowed,))))
    way_round = f"{tmp_path}/l/../opt/etl.sh"
    assert os.path.normpath(way_round) == str(allowed)
    assert await refused(engine, asking(stand, argv=[way_round])) == "work.argv[0]"
    assert await refused(engine, asking(stand, argv=[str(other)])) == "work.argv[0]"
    await engine.submit(good := asking(stand, argv=[str(allowed)]))
    assert (await stand.end_of(good)).phase is Phase.SUCCEEDED
    await engine.close()


def test_a_working_folder_swapped_after_the_check_is_not_entered(tmp_path: Path) -> None:
    """The supervisor walks down from the allowed folder without following a link."""
    (tmp_path / "data" / "day").mkdir(parents=True)
    (tmp_path / "data" / "night").symlink_to("/etc")
    before = Path.cwd()
    try:
        containment.enter(str(tmp_path), ["data", "day"])
        assert Path.cwd() == tmp_path / "data" / "day"
        with pytest.raises(OSError) as not_entered:
            containment.enter(str(tmp_path), ["data", "night"])
        assert not_entered.value.errno in (errno.ELOOP, errno.ENOTDIR)
    finally:
        os.chdir(before)


async def test_a_bad_answer_of_the_starter_begins_a_new_one_at_once(stand: ProcessStand) -> None:
    """Without it every later start waits out its time limit, here 30 s."""
    await stand.engine.submit(first := stand.shell("exit 0"))
    await stand.end_of(first)
    assert isinstance(stand.engine, ProcessEngine)
    starter = stand.engine._starter  # pyright: ignore[reportPrivateUsage]
    process = starter._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    assert process.stdout is not None
    process.stdout.feed_data(b"what is this\n")
    await asyncio.wait_for(process.wait(), 20)
    async with asyncio.timeout(20):
        await stand.engine.submit(second := stand.shell("exit 0"))
    assert (await stand.end_of(second)).phase is Phase.SUCCEEDED


async def test_a_starter_that_could_not_be_begun_once_is_begun_again(
    stand: ProcessStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it one moment without memory or processes keeps every later start from this host, until a restart."""
    begin = asyncio.create_subprocess_exec

    async def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    first = stand.shell("exit 0")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_process)
    with pytest.raises(EngineUnavailable, match="Resource temporarily unavailable"):
        await stand.engine.submit(first)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", begin)
    await stand.engine.submit(first)
    assert (await stand.end_of(first)).phase is Phase.SUCCEEDED


async def test_a_killed_starter_is_noticed_while_a_run_lives(stand: ProcessStand) -> None:
    await stand.engine.submit(stand.shell("exec sleep 600"))
    assert isinstance(stand.engine, ProcessEngine)
    process = stand.engine._starter._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    process.kill()
    await asyncio.wait_for(process.wait(), 20)
    async with asyncio.timeout(20):
        await stand.engine.submit(second := stand.shell("exit 0"))
    assert (await stand.end_of(second)).phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    "name",
    [
        "BASH_ENV",
        "ENV",
        "PATH",
        "PYTHONPATH",
        "PYTHONWARNINGS",
        "BROWSER",
        "LD_PRELOAD",
        "HOME",
        "PERL5OPT",
        # clients that run commands from a file that a variable names
        "PSQLRC",
        "KUBECONFIG",
        "AWS_CONFIG_FILE",
        "MYSQL_HOME",
        "WGETRC",
        "CURL_HOME",
        "RSYNC_RSH",
        "MAVEN_OPTS",
        "FLINK_CONF_DIR",
        "PSQL_PAGER",
    ],
)
async def test_a_variable_that_loaders_or_interpreters_read_is_refused(stand: ProcessStand, name: str) -> None:
    assert isinstance(stand.engine, ProcessEngine)
    submission = asking(stand, argv=[str(SHELL), "-c", "exit 0"], environment={name: "/tmp/x"})
    assert await refused(stand.engine, submission) == "work.environment"


async def test_the_operator_may_list_the_variables_that_work_can_set(stand: ProcessStand) -> None:
    permits = Permits(programs=(SHELL,), variables=("DAY", "JOB_*"))
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=permits))
    argv = [str(SHELL), "-c", "exit 0"]
    assert await refused(engine, asking(stand, argv=argv, environment={"NIGHT": "1"})) == "work.environment"
    await engine.submit(good := asking(stand, argv=argv, environment={"DAY": "1", "JOB_NAME": "x"}))
    assert (await stand.end_of(good)).phase is Phase.SUCCEEDED
    await engine.close()


@pytest.mark.parametrize("ends", ["by itself", "cancelled", "time limit", "supervisor killed"])
async def test_nothing_of_a_run_lives_when_its_end_is_reported(stand: ProcessStand, ends: str) -> None:
    """Without it attempt 2 begins while work of attempt 1 runs on, in another session or without its environment."""
    leaves = [
        "setsid sleep {n} &",
        "set -m; sleep {n} &",
        "(setsid sh -c 'sleep {n} & sleep {n}' &);",
        "setsid env -i sleep {n} &",
    ]
    markers = [f"{os.getpid() % 1000 + 1000}.{abs(hash((text, ends))) % 10**8:08}" for text in leaves]
    begun = " ".join(text.format(n=marker) for text, marker in zip(leaves, markers, strict=True))
    then = "exit 0" if ends == "by itself" else "wait; sleep 600"
    text = f"{begun} until [ -e go ]; do sleep 0.02; done; {then}"
    submission = stand.shell(text, seconds=5 if ends == "time limit" else None, stop_grace_seconds=0.2)
    await stand.engine.submit(submission)

    async def left() -> bool:
        return all(map(_is_asleep, markers))

    await until(left, "the children are there")
    (stand.run_folder(submission) / "work" / "go").touch()
    if ends == "cancelled":
        await stand.engine.cancel(watched(submission))
    elif ends == "supervisor killed":
        os.kill(stand.supervisor_of(submission), signal.SIGKILL)
    await stand.end_of(submission)
    assert [marker for marker in markers if _is_asleep(marker)] == []


@needs_root
def test_nothing_of_a_run_lives_on_a_host_without_control_groups() -> None:
    """There the adoption of orphans alone finds what left its session or its environment behind."""
    command = (
        f"umount -l /sys/fs/cgroup; exec {sys.executable} -m pytest -q {Path(__file__)} -k when_its_end_is_reported"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("this machine allows no mount namespace")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.skipif(cgroup.make("probe") is None, reason="no cgroup v2 that can be written")
async def test_in_a_cgroup_nothing_lives_although_supervisor_and_keeper_were_killed(stand: ProcessStand) -> None:
    """Without it a run that kills both leaves what emptied its environment, and attempt 2 begins beside it."""
    cgroup.remove(str(cgroup.make("probe")))
    marker = f"{os.getpid() % 1000}{7000 + os.getpid() % 977}"
    text = f"/usr/bin/env -i /usr/bin/setsid /bin/sleep {marker} & echo there; wait"
    await stand.engine.submit(submission := stand.shell(text))
    await stand.wait_for_output(submission, "there")

    async def left() -> bool:
        return _is_asleep(marker)

    await until(left, "the child is there")
    supervisor = stand.supervisor_of(submission)
    keeper = int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    seen = await stand.end_of(submission)
    assert seen.cause is EndCause.INFRASTRUCTURE
    assert not _is_asleep(marker)
    started = records.read(stand.run_folder(submission), records.STARTED)
    assert started is not None
    assert not Path(started["cgroup"]).exists()


def _is_asleep(marker: str) -> bool:
    """Whether a `sleep` of this marker lives; the shells that hold it in their text do not count."""
    for pid in sleepers(marker):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"sleep"):
                return True
        except OSError:
            continue
    return False


@needs_root
async def test_a_run_under_another_user_reads_nothing_of_the_executor_or_of_other_runs(
    stand: ProcessStand, tmp_path: Path
) -> None:
    """Environment, memory, specs with secrets, and the end record of another run."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    permits = Permits(programs=(SHELL,), user=RunUser(ANYONE, ANYONE))
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=permits))
    secret = asking(stand, argv=[str(SHELL), "-c", "exec sleep 600"], environment={"PASSWORD": "s3cret-value"})
    await engine.submit(secret)
    other = stand.run_folder(secret)
    tries = [
        f"cat /proc/{os.getpid()}/environ", f"cat /proc/{stand.supervisor_of(secret)}/environ",
        f"cat {other}/spec.json", f"ls {other}", f"ls {stand.runs}", f"echo '{{}}' > {other}/end.json",
        f"rm {other}/lock", f"kill -9 {stand.supervisor_of(secret)}", f"touch {stand.runs}/x",
    ]  # fmt: skip
    text = "\n".join(f"if {one} >/dev/null 2>&1; then echo REACHED {number}; fi" for number, one in enumerate(tries))
    result = 'echo "{\\"ok\\": true}" > "$SIGNALBOX_RESULT"; id -u; touch mine'
    submission = asking(stand, argv=[str(SHELL), "-c", f"{text}\n{result}"])
    await engine.submit(submission)
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.result) == (Phase.SUCCEEDED, {"ok": True}), await stand.output(submission)
    output = await stand.output(submission)
    assert "REACHED" not in output
    assert output.endswith(f"{ANYONE}\n")
    assert (await stand.look(secret)).phase is Phase.RUNNING
    await engine.close()


@pytest.mark.parametrize(
    "result",
    [r'"\u0000"', r'{"a\u0000": 1}', "[1e400]", "[" * 198 + "]" * 198],
    ids=["zero", "zero key", "huge", "deep"],
)
async def test_a_result_that_no_database_can_hold_fails_its_attempt_and_no_other(
    stand: ProcessStand, result: str
) -> None:
    (stand.stamps / "r").write_text(result)
    bad = stand.shell(f'cat {stand.stamps / "r"} > "$SIGNALBOX_RESULT"')
    good = stand.shell("exit 0")
    await stand.engine.submit(bad)
    await stand.engine.submit(good)
    seen = await stand.end_of(bad)
    assert (seen.phase, seen.cause, seen.result) == (Phase.FAILED, EndCause.FAILED, None)
    assert "the result" in seen.message
    assert (await stand.end_of(good)).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("makes", ["ln -s /etc/passwd", "mkfifo"])
async def test_a_result_that_is_no_plain_file_fails_the_attempt_with_the_reason(
    stand: ProcessStand, makes: str
) -> None:
    await stand.engine.submit(submission := stand.shell(f'/bin/{makes} "$SIGNALBOX_RESULT"'))
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.result) == (Phase.FAILED, None)
    assert "plain file" in seen.message


async def test_a_program_that_is_busy_at_its_start_is_a_fault_of_the_infrastructure(
    stand: ProcessStand, tmp_path: Path
) -> None:
    """ETXTBSY: somebody was writing it at that moment. Refused for good, it would never be tried again."""
    program = tmp_path / "busy"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    engine = ProcessEngine(ProcessHost(folder=stand.host.folder, permits=Permits(programs=(program,))))
    submission = asking(stand, argv=[str(program)])
    with program.open("r+b"):
        await engine.submit(submission)
        seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    await engine.close()


async def test_a_run_that_may_take_longer_than_epoll_can_wait_ends_as_it_ended(stand: ProcessStand) -> None:
    """A time limit of 30 days was more than the supervisor's wait could take: it died at its first one."""
    await stand.engine.submit(submission := stand.shell("sleep 0.3; exit 4", seconds=30 * 86_400))
    seen = await stand.end_of(submission)
    assert (seen.phase, seen.cause, seen.exit_code) == (Phase.FAILED, EndCause.FAILED, 4)


FULL_DISK = """
import sys, os, subprocess
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", sys.argv[1]], check=True)
os.execv(sys.executable, [sys.executable, "-m", "engines.process.full_disk", sys.argv[1]])
"""


@needs_root
def test_programs_that_end_while_the_disk_is_full_have_run_once_and_keep_their_end(tmp_path: Path) -> None:
    """Without the reserved room their supervisors die, and all of them run a second time."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["unshare", "--mount", sys.executable, "-c", FULL_DISK, str(place)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    if "mount" in done.stderr and "ermi" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "4 succeeded, 4 starts"


async def test_a_disk_that_is_full_before_the_start_makes_the_engine_unavailable(
    stand: ProcessStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(stand.engine, ProcessEngine)

    async def no_room(_self: object, _folder: Path) -> int:
        return 6

    monkeypatch.setattr("signalbox_executor.engines.process.starter.Starter.start", no_room)
    with pytest.raises(EngineUnavailable, match="disk") as unavailable:
        await stand.engine.submit(stand.shell("exit 0"))
    assert not unavailable.value.may_have_arrived
