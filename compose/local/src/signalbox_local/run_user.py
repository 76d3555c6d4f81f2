"""Who the programs of the local process engine run as, where the stack itself runs as root."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

NUMBER: Final = 61_184
"""A user number without an account: nothing on an ordinary host belongs to it."""
_CHECK: Final = "import sys; [open(path).close() for path in sys.argv[1:]]"


def run_user(programs: Sequence[Path], folders: Sequence[Path]) -> str:
    """The setting: empty where the stack is not root; else a bare number, or `0` where that could not run these.

    A checkout below a closed home folder is such a place: the programs and Python itself cannot be read from there.
    """
    if os.geteuid() != 0:
        return ""
    try:
        subprocess.run(
            [sys.executable, "-c", _CHECK, *map(str, programs)], user=NUMBER, group=NUMBER, extra_groups=[],
            check=True, capture_output=True, timeout=60, cwd="/",
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "0"
    for folder in folders:
        os.chown(folder, NUMBER, NUMBER)
    return str(NUMBER)
