"""An append-only file: one line of JSON per entry, each synced before anybody is told.

While one write and sync is under way the next entries gather, so ten thousand starts cost a few hundred syncs.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic_core import from_json, to_json

from signalbox_chassis.runtime.tasks import cancel

Entry = dict[str, Any]


class FolderInUse(Exception):
    def __init__(self, folder: Path) -> None:
        super().__init__(f"another process uses {folder}")


class Journal:
    """One process at a time: the folder is locked as long as this is open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise FolderInUse(folder) from None
        self._path = folder / "journal"
        self._waiting: list[bytes] = []
        self._appended = 0
        self._synced = 0
        self._work = asyncio.Event()
        self._progress = asyncio.Condition()
        self._syncing: asyncio.Task[None] | None = None

    def read(self) -> Iterator[Entry]:
        """What earlier processes wrote. A last line that was cut by a kill was never answered: it is cut off."""
        data = self._path.read_bytes()
        complete = data.rfind(b"\n") + 1
        os.ftruncate(self._file, complete)
        for line in data[:complete].splitlines():
            yield cast("Entry", from_json(line))

    def start(self) -> None:
        self._syncing = asyncio.create_task(self._sync())

    def append(self, entry: Entry) -> None:
        self._waiting.append(to_json(entry) + b"\n")
        self._appended += 1
        self._work.set()

    async def synced(self) -> None:
        """Return when everything appended until now survives a kill and a power cut."""
        wanted = self._appended
        if self._synced >= wanted:
            return
        async with self._progress:
            await self._progress.wait_for(lambda: self._synced >= wanted)

    async def close(self) -> None:
        await self.synced()
        await cancel(self._syncing)
        os.close(self._file)

    async def _sync(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            upto, lines, self._waiting = self._appended, self._waiting, []
            await asyncio.to_thread(self._write, b"".join(lines))
            async with self._progress:
                self._synced = upto
                self._progress.notify_all()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fdatasync(self._file)
        except OSError:  # what is on disk now is unknown: only a fresh start can read it
            os._exit(1)
