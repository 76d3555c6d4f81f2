"""Old run folders: removed some days after the end, which also frees their keys. Blocking calls, for a thread."""

import shutil
import time
from pathlib import Path

from signalbox_executor.engines.process import records

DAY_SECONDS = 86_400.0


def prune(folder: Path, keep_days: float) -> int:
    """Remove the folders of runs that ended, or were sealed, more than so many days ago; how many there were."""
    runs = folder / "runs"
    if not runs.is_dir():
        return 0
    before = time.time() - keep_days * DAY_SECONDS
    old = [run for run in runs.iterdir() if _over_since(run) < before]
    return sum(_remove(run, folder) for run in old)


def _over_since(run: Path) -> float:
    """When the run ended or was sealed; never, for one that runs, may start or cannot be read."""
    for name in (records.END, records.SEALED):
        try:
            return (run / name).stat().st_mtime
        except OSError:
            continue
    return float("inf")


def _remove(run: Path, folder: Path) -> bool:
    """Out of sight in one step, so that nobody meets half a folder."""
    with records.locked(run) as ours:
        if not ours:
            return False
        gone = folder / f".gone-{run.name}"
        run.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    return True
