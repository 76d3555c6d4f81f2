"""What `make sizes` prints."""

import subprocess
from pathlib import Path

import pytest

from support import sizes


def function(name: str, lines: int, indent: str = "") -> str:
    return f"{indent}def {name}():\n" + f"{indent}    pass\n" * (lines - 1)


def test_functions_over_50_lines_are_listed_longest_first_with_their_place() -> None:
    text = function("short", 50) + "class C:\n" + function("method", 52, "    ") + "async " + function("long", 51)
    found = sizes.long_functions({"a.py": text, "b.py": function("longest", 60)})
    assert [(size.lines, size.name) for size in found] == [
        (60, "b.py:1 longest"),
        (52, "a.py:52 C.method"),
        (51, "a.py:104 long"),
    ]


def test_modules_over_400_lines_are_listed_longest_first() -> None:
    found = sizes.long_modules({"a.py": "\n" * 400, "b.py": "\n" * 401, "c.py": "\n" * 500})
    assert [(size.lines, size.name) for size in found] == [(500, "c.py"), (401, "b.py")]


def test_the_command_lists_what_git_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tracked.py").write_text(function("long", 51) + "\n" * 400)
    (tmp_path / "untracked.py").write_text(function("longer", 60))
    for words in (["init", "-q"], ["add", "tracked.py"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert sizes.main(tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 functions over 50 lines:", "    51 tracked.py:1 long", "1 modules over 400 lines:", "   451 tracked.py",
    ]  # fmt: skip
