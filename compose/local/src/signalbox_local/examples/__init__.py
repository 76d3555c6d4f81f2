"""Three small programs for the process engine: one makes a file, one sums it up, one answers a question about it.

They need Python's standard library only. `install` puts them where an operator's allow-list names them.
"""

import sys
from pathlib import Path

PROGRAMS = ("generate", "aggregate", "query")


def install(folder: Path) -> list[Path]:
    """Copy them into `folder`, made executable by this Python; returns their absolute paths."""
    folder.mkdir(parents=True, exist_ok=True)
    installed: list[Path] = []
    for name in PROGRAMS:
        program = folder.absolute() / name
        draft = folder / f".{name}"
        source = (Path(__file__).parent / f"{name}.py").read_text()
        # -I and -S: no user's folders and no site packages, which halves the start
        draft.write_text(f"#!{sys.executable} -IS\n{source}")
        draft.chmod(0o755)
        draft.replace(program)
        installed.append(program)
    return installed
