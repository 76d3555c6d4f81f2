"""Only a wait that ran out of time is repeated, once and alone; a failed assertion never is."""

from pathlib import Path

import pytest

from support import parts

WAITS = """
from support.deadlines import DeadlineExceeded
def test_slow():
    raise DeadlineExceeded("not within 1 s: a busy machine")
"""
WRONG = """
def test_wrong():
    assert False
"""


def late_tests(tmp_path: Path, text: str) -> list[str] | None:
    """The tests of one part that are to be repeated; None when the part failed."""
    tests = str(parts.HOME / "tests")
    plugin = "from support.failures import pytest_runtest_logreport as pytest_runtest_logreport"
    (tmp_path / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {tests!r})\n{plugin}\n")
    (tmp_path / "test_it.py").write_text(text)
    folder = tmp_path / "parts"
    folder.mkdir()
    (late,) = parts._run({"a part": [str(tmp_path / "test_it.py")]}, {}, [], folder, 0.0)  # pyright: ignore[reportPrivateUsage]
    return None if late is None else list(late)


def test_a_test_that_ran_out_of_time_is_to_be_repeated(tmp_path: Path) -> None:
    late = late_tests(tmp_path, WAITS)
    assert late is not None
    assert [test.rpartition("::")[2] for test in late] == ["test_slow"]


def test_a_failed_assertion_is_never_repeated(tmp_path: Path) -> None:
    assert late_tests(tmp_path, WAITS + WRONG) is None


def test_what_passes_when_repeated_alone_is_called_flaky(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passing = tmp_path / "test_it.py"
    passing.write_text("def test_nothing(): pass")
    folder = tmp_path / "parts"
    folder.mkdir()
    assert parts._repeat([str(passing)], folder, 0.0) == 0  # pyright: ignore[reportPrivateUsage]
    assert f"FLAKY {passing}: DeadlineExceeded, then passed alone" in capsys.readouterr().out
