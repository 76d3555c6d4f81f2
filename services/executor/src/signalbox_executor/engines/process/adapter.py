"""The process engine behind the port. It belongs to one host: its folder holds the host's id, made once.

Crash points (`process.*`) stand where a kill of the executor must leave the run either startable or started.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.isolation import note_fault
from signalbox_executor.engines.port import (
    EngineRefused,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Submission,
    Watched,
)
from signalbox_executor.engines.process import inspection, records, supervisor
from signalbox_executor.engines.process.output import read_output
from signalbox_executor.engines.process.permits import Permits, RunUser, check_run_key
from signalbox_executor.engines.process.starter import Starter

STARTS_AT_ONCE: Final = 8
"""Supervisors that are being started at the same time: more would only wait for the disk together."""


@dataclass(frozen=True, kw_only=True)
class ProcessHost:
    """What the operator allows on this host."""

    folder: Path
    """Absolute, on a local disk: run folders and the host id. It must outlive the executor."""
    permits: Permits
    start_timeout_seconds: float = 30.0
    host_id: str = ""
    """The id the operator gave this host; empty: the folder's own."""


class ProcessEngine:
    """Runs programs of this host. `host_id` is the one the engine was registered with: None means any one host."""

    def __init__(self, host: ProcessHost, host_id: str | None = None) -> None:
        self._host = host
        self._runs = host.folder.absolute() / "runs"
        self._runs.mkdir(0o700, parents=True, exist_ok=True)
        if host.permits.user is not None:  # a run may pass through to its own folders, and list none
            for folder in (host.folder, self._runs):
                folder.chmod(0o711)
        self.host_id = load_host_id(host.folder, host.host_id)
        self._expected_host_id = host_id
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._starter = Starter()

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    async def submit(self, submission: Submission) -> Handle:
        """As the port says. Refused: what the operator does not allow. Unavailable: another host, no supervisor."""
        folder = self._folder(submission.run_key)
        with _disk_as_engine():
            if not await asyncio.to_thread(records.is_decided, folder):
                spec = self._host.permits.spec(submission, folder)
                await asyncio.to_thread(_prepare, folder, spec, self._host.permits.user)
                crash_points.point("process.prepared")
                await self._start(folder)
                crash_points.point("process.started")
        return self._handle(submission.run_key)

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """One pass over the folders, in a thread."""
        folders = [self._folder(run.run_key) for run in watched]
        with _disk_as_engine():
            return await asyncio.to_thread(self._inspect, folders)

    def _inspect(self, folders: Sequence[Path]) -> dict[str, Observation]:
        """Of each run. One whose folder cannot be read is left out; the disk is broken where none can be."""
        seen: dict[str, Observation] = {}
        fault: OSError | None = None
        for folder in folders:
            try:
                seen[folder.name] = inspection.inspect(folder, self._handle(folder.name))
            except OSError as error:
                note_fault("observations", error)
                fault = error
        if fault is not None and not seen:
            raise fault
        return seen

    async def cancel(self, watched: Watched) -> None:
        """An unknown key keeps the wish: whatever is submitted under it later ends before it starts."""
        folder = self._folder(watched.run_key)
        with _disk_as_engine():
            await asyncio.to_thread(inspection.cancel, folder)

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Only of runs that this executor started since its own start: the keeper of each says when it is over."""
        self._starter.on_end = listener

    async def seal(self, watched: Watched) -> Handle | None:
        folder = self._folder(watched.run_key)
        with _disk_as_engine():
            sealed = await asyncio.to_thread(inspection.seal, folder, self._host.start_timeout_seconds)
        return None if sealed else self._handle(watched.run_key)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        folder = self._folder(watched.run_key)
        with _disk_as_engine():
            return LogPage(*await asyncio.to_thread(read_output, folder, offset, limit))

    async def secrets(self, watched: Watched) -> frozenset[str]:
        folder = self._folder(watched.run_key)
        with _disk_as_engine():
            spec = await asyncio.to_thread(records.read, folder, records.SPEC)
        return frozenset(spec.get("secrets", ())) if spec else frozenset()

    async def close(self) -> None:
        """End the starter; supervisors and their runs go on."""
        await self._starter.stop()

    def _folder(self, run_key: str) -> Path:
        if self._expected_host_id not in (None, self.host_id):
            reason = f"it belongs to host {self._expected_host_id}, this is {self.host_id}"
            raise EngineUnavailable("process", reason, may_have_arrived=False)
        return self._runs / check_run_key(run_key)

    def _handle(self, run_key: str) -> Handle:
        return f"{self.host_id}/{run_key}"

    async def _start(self, folder: Path) -> None:
        async with self._starts:
            code = await asyncio.wait_for(self._starter.start(folder), self._host.start_timeout_seconds)
        if code == supervisor.SEALED:
            raise EngineRefused("process", "it was sealed", field="run_key", value=folder.name, sealed=True)
        if code == supervisor.NO_ROOM:
            raise EngineUnavailable("process", "the disk of the run folders is full", may_have_arrived=False)
        if code != supervisor.STARTED:
            raise EngineUnavailable("process", f"the supervisor did not start it (exit code {code})")


class _disk_as_engine:  # noqa: N801 -- reads as a word at its place of use
    """Turns what the disk and waits raise into the port's error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):  # TimeoutError is one
            raise EngineUnavailable("process", f"{type(error).__name__}: {error}") from error


def _prepare(folder: Path, spec: dict[str, Any], user: RunUser | None) -> None:
    """The folder and what to run, durably. Copies of one submit may do this at once: they all write the same."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    records.sync_folder(folder.parent)
    crash_points.point("process.folder")
    for name in (records.WORK, records.OUT):
        (folder / name).mkdir(0o700, exist_ok=True)
        if user is not None:
            os.chown(folder / name, user.uid, user.gid)
    if user is not None:
        folder.chmod(0o711)
    records.write(folder, records.SPEC, spec)


class WrongHost(ValueError):
    """The folder holds the runs of another host id: "not found" in it would say nothing of this one."""


def load_host_id(folder: Path, wanted: str = "") -> str:
    """The id of this host, kept in the folder from the first call on. Two callers at once get the same.

    `wanted` is what the operator calls this host; raises `WrongHost` if the folder has another id already.
    """
    path = folder / "host-id"
    if not path.exists():
        made = folder / f".host-id.{uuid4().hex}"
        made.write_text(f"{wanted or f'host-{uuid4()}'}\n")
        with suppress(FileExistsError):
            path.hardlink_to(made)
        made.unlink()
        records.sync_folder(folder)
    found = path.read_text().strip()
    if wanted and found != wanted:
        raise WrongHost(f"{folder} belongs to host {found!r}, and this one is called {wanted!r}")
    return found
