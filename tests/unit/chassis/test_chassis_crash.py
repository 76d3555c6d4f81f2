"""Crash points: armed by a text, dead at the nth pass, nothing else."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from signalbox_chassis.runtime import crash_points


@pytest.fixture(autouse=True)
def no_crash(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Records the signals this process would have sent itself."""
    killed: list[int] = []
    monkeypatch.setattr("signalbox_chassis.runtime.crash_points.os.kill", lambda _, number: killed.append(number))  # pyright: ignore
    yield killed
    crash_points.disarm()


@pytest.mark.parametrize(
    ("spec", "passes"),
    [("a", 1), ("a:1", 1), ("a:3", 3), ("b,a:2", 2), (" a :2,b:5", 2), ("a:2,", 2), ("a:007", 7)],
)
def test_a_point_kills_at_its_nth_pass_and_not_before_or_after(spec: str, passes: int, no_crash: list[int]) -> None:
    crash_points.arm(spec)
    for _ in range(passes - 1):
        crash_points.point("a")
    crash_points.point("other")
    assert no_crash == []
    crash_points.point("a")
    assert no_crash == [signal.SIGKILL]
    crash_points.point("a")
    assert no_crash == [signal.SIGKILL]


@pytest.mark.parametrize("spec", ["a:0", "a:-1", "a:x", "a:1.5", "a:1:2", ":3", " ", "b,a:0"])
def test_what_arms_nothing_is_refused(spec: str) -> None:
    """A test whose crash never comes would pass for the wrong reason."""
    with pytest.raises(ValueError, match="say `point` or `point:n`"):
        crash_points.arm(spec)


def test_unarmed_and_disarmed_points_do_nothing(no_crash: list[int]) -> None:
    crash_points.point("a")
    crash_points.arm("a")
    crash_points.disarm()
    crash_points.point("a")
    crash_points.arm("")
    crash_points.point("")
    assert no_crash == []


def run(spec: str) -> subprocess.CompletedProcess[str]:
    program = "from signalbox_chassis.runtime import crash_points\n"
    program += "for n in range(1, 5): crash_points.point('p'); print(n, flush=True)"
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={"SIGNALBOX_CRASH_AT": spec}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_process_armed_by_its_environment_dies_by_kill_at_the_third_pass() -> None:
    ended = run("p:3")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "1\n2\n")


def test_a_process_with_a_wrong_count_does_not_even_start() -> None:
    ended = run("p:no")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "crash point 'p:no'" in ended.stderr
