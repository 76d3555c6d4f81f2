"""Three small programs for the process engine, the steps of one pipeline: ingestion, processing, loader.

They read `MODE`, `EVENT_DATE` and `PROCESSING_WINDOW_DAYS`, work on files in their folder, and the loader fills a table
in PostgreSQL. `install` puts them where an operator's allow-list names them.
"""

import sys
from pathlib import Path

PROGRAMS = ("ingestion", "processing", "loader")
WITH_PACKAGES = frozenset({"loader"})
"""Those that need more than the standard library: the PostgreSQL client."""


def install(folder: Path) -> list[Path]:
    """Copy them into `folder`, made executable by this Python; returns their absolute paths."""
    folder.mkdir(parents=True, exist_ok=True)
    installed: list[Path] = []
    for name in PROGRAMS:
        program = folder.absolute() / name
        draft = folder / f".{name}"
        source = (Path(__file__).parent / f"{name}.py").read_text()
        # -I and -S: no user's folders and no site packages, which halves the start
        options = "-I" if name in WITH_PACKAGES else "-IS"
        draft.write_text(f"#!{sys.executable} {options}\n{source}")
        draft.chmod(0o755)
        draft.replace(program)
        installed.append(program)
    return installed
