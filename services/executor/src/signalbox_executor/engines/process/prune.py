"""Old run folders: removed some days after the end, which also frees their keys. Blocking calls, for a thread."""

import logging
import shutil
import time
from pathlib import Path
from typing import Final

from signalbox_executor.engines.process import records

log = logging.getLogger(__name__)
DAY_SECONDS: Final = 86_400.0
_GONE: Final = ".gone-"
"""What the names of folders begin with that are out of sight and not removed yet."""


def prune(folder: Path, keep_days: float) -> int:
    """Remove the folders of runs that ended, were sealed or never started, more than so many days ago; how many.

    A folder that cannot be removed stays for the next pass and stops no other.
    """
    runs = folder / "runs"
    if not runs.is_dir():
        return 0
    for gone in folder.glob(f"{_GONE}*"):
        shutil.rmtree(gone, ignore_errors=True)
    before = time.time() - keep_days * DAY_SECONDS
    return sum(_remove(run, folder) for run in list(runs.iterdir()) if _over_since(run) < before)


def _over_since(run: Path) -> float:
    """When the run ended or was sealed, or when its folder last changed if it never started.

    Never, for one that runs or cannot be read. A submission is repeated for minutes, never for days: what has not
    started by then will not start.
    """
    for name in (records.END, records.SEALED):
        try:
            return (run / name).stat().st_mtime
        except OSError:
            continue
    try:
        return float("inf") if (run / records.STARTED).exists() else run.stat().st_mtime
    except OSError:
        return float("inf")


def _remove(run: Path, folder: Path) -> bool:
    """Out of sight in one step, so that nobody meets half a folder."""
    try:
        with records.locked(run) as ours:
            if not ours or _over_since(run) == float("inf"):  # a start may have come first
                return False
            gone = folder / f"{_GONE}{run.name}"
            run.rename(gone)
    except OSError as error:
        log.warning("the folder of run %s cannot be removed: %s", run.name, error)
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True
