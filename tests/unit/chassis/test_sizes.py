"""What `make sizes` prints."""

import subprocess
import sys
from pathlib import Path

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


def test_the_command_ends_well_on_this_repository() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "tests/support/sizes.py"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "functions over 50 lines" in ended.stdout
    assert "modules over 400 lines" in ended.stdout
