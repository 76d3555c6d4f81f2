"""What a run's folder says now. Blocking calls on local files, to be run in a thread.

A run that has a start record, no end record and a free lock has lost its supervisor. What is left of it is then killed
before its end is recorded: nobody could learn its exit code any more, nobody holds its time limit, and a next attempt
must not meet it.
"""

import os
import signal
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.port import Observation, bounded
from signalbox_executor.engines.process import cgroup, records
from signalbox_executor.engines.result import read_result


def inspect(folder: Path, handle: str) -> Observation:
    """The run in this folder. LOST: there is none, it was sealed, or its records make no sense any more."""
    now = datetime.now(UTC)
    if not folder.is_dir():
        return _unknown(folder, now, "no such run on this host")
    try:
        return _inspect(folder, handle, now)
    except (
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        RecursionError,
    ) as error:  # spoilt from outside: one bad folder must not hide the others
        return _unknown(folder, now, f"the records of this run cannot be read: {error!r}")


def _unknown(folder: Path, now: datetime, why: str) -> Observation:
    return Observation(run_key=folder.name, phase=Phase.LOST, handle=None, at=now, message=bounded(why))


def _inspect(folder: Path, handle: str, now: datetime) -> Observation:
    run_key = folder.name
    started = records.read(folder, records.STARTED)
    end = records.read(folder, records.END) or (settle(folder, started) if started else None)
    if end is not None:
        return _ended(run_key, handle, end, now)
    if started is not None:
        begun = datetime.fromtimestamp(started["at"], UTC)
        return Observation(run_key=run_key, phase=Phase.RUNNING, handle=handle, at=now, started_at=begun)
    if (folder / records.SEALED).exists():
        return _unknown(folder, now, "sealed: it never ran")
    return Observation(run_key=run_key, phase=Phase.SUBMITTED, handle=handle, at=now)


def settle(folder: Path, started: records.Record) -> records.Record | None:
    """End a run that lost its supervisor, and say its end; None while it is as it should be, or not yet gone."""
    with records.locked(folder) as ours, records.locked(folder, records.KEEPER) as unkept:
        if not ours or not unkept:
            return None
        end = records.read(folder, records.END)  # written just before the lock was let go
        if end is not None:
            return end
        if started["boot_id"] != records.boot_id():
            return _lost(folder, started, "the host was started anew")
        if _kill(folder.name, started):
            return None
        return _lost(folder, started, "its supervisor died; what was left of it was killed")


def _kill(run_key: str, started: records.Record) -> bool:
    """Kill what is left of the run; whether there was anything."""
    left = set(records.carriers(run_key))
    if started["ticks"] is not None and records.start_ticks(started["pid"]) == started["ticks"]:
        left.add(started["pid"])
    for pid in left:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(left) or not cgroup.end(started.get("cgroup"), run_key)


def _lost(folder: Path, started: records.Record, why: str) -> records.Record:
    end = {
        "phase": "failed",
        "cause": "infrastructure",
        "message": why,
        "started_at": started["at"],
        "ended_at": time(),
    }
    records.write_end(folder, end)
    return end


def cancel(folder: Path) -> None:
    """Record the wish, and carry it out: a run without a start record ends here and now, any other is told."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
        records.sync_folder(folder.parent)
    records.mark(folder, records.CANCEL)
    with records.locked(folder) as ours:
        if ours and not records.is_decided(folder) and not (folder / records.SEALED).exists():
            end = {"phase": "killed", "cause": "cancelled", "message": "cancelled before it started"}
            records.write_end(folder, {**end, "ended_at": time()})
    records.ring(folder)


def seal(folder: Path, timeout_seconds: float) -> bool:
    """True: sealed, it never ran and never will. False: it has run or runs. Raises TimeoutError."""
    deadline = monotonic() + timeout_seconds
    while (sealed := _try_to_seal(folder)) is None:
        if monotonic() > deadline:
            raise TimeoutError(f"the lock of {folder.name} was held for {timeout_seconds:g} s without a start")
        sleep(0.01)  # a supervisor has the lock, and decides within moments
    return sealed


def _try_to_seal(folder: Path) -> bool | None:
    with suppress(FileExistsError):
        folder.mkdir(0o700)
        records.sync_folder(folder.parent)
    with records.locked(folder) as ours:
        if records.is_decided(folder):
            return False
        if not ours:
            return None
        records.mark(folder, records.SEALED)
        return True


def _ended(run_key: str, handle: str, end: records.Record, now: datetime) -> Observation:
    phase, cause, message = Phase(end["phase"]), EndCause(end["cause"]), str(end["message"])
    result: Any = None
    if "result_error" in end and phase is Phase.SUCCEEDED:
        phase, cause, message = Phase.FAILED, EndCause.FAILED, str(end["result_error"])
    if "result" in end:
        try:
            result = read_result(b64decode(end["result"]), end["result_size"])
        except ValueError as error:
            if phase is Phase.SUCCEEDED:
                phase, cause, message = Phase.FAILED, EndCause.FAILED, str(error)
    begun = end.get("started_at")
    return Observation(
        run_key=run_key,
        phase=phase,
        handle=handle,
        at=now,
        exit_code=end.get("exit_code"),
        result=result,
        cause=cause,
        message=bounded(message),
        started_at=None if begun is None else datetime.fromtimestamp(begun, UTC),
        ended_at=datetime.fromtimestamp(end["ended_at"], UTC),
    )
