"""The bounded log of a run: what it wrote first and what it wrote last, in segment files named by their offset.

Standard library only. `output.0` and the next segment stay; of the later ones the newest two stay. A reader that asks
for bytes that were let go gets what follows, and sees from the offset that something is missing.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

SEGMENT_BYTES: Final = 16 * 1024 * 1024
HEAD_SEGMENTS: Final = 2
TAIL_SEGMENTS: Final = 2
_PREFIX: Final = "output."


class Output:
    """The writer: one for each run, in its supervisor."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._offset = 0
        self._room = 0
        self._file: BinaryIO | None = None
        self._path = folder
        self._tail: list[Path] = []
        self._lost = False

    def write(self, data: bytes) -> None:
        """Keep it. What a full disk does not take is left out: a reader sees the gap, and the run goes on."""
        while data:
            begins = not self._room
            try:
                if begins:
                    self._next_segment()
                assert self._file is not None
                written = self._file.write(data[: self._room])
            except OSError:
                if begins:
                    self._path.unlink(missing_ok=True)
                self._offset += len(data)
                self._room, self._lost = 0, True
                return
            self._lost = False
            if begins and self._offset >= HEAD_SEGMENTS * self._segment_bytes:
                self._tail.append(self._path)
                if len(self._tail) > TAIL_SEGMENTS:
                    self._tail.pop(0).unlink()
            self._offset += written
            self._room -= written
            data = data[written:]

    def close(self) -> None:
        """When the last bytes were lost, an empty segment after them tells a reader so."""
        if self._lost:
            with suppress(OSError):
                self._next_segment()
        self._close_segment()

    def _close_segment(self) -> None:
        if self._file is not None:
            self._file.close()

    def _next_segment(self) -> None:
        self._close_segment()
        self._path = self._folder / f"{_PREFIX}{self._offset}"
        opened = os.open(self._path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        self._file = open(opened, "wb", buffering=0)  # noqa: PTH123, SIM115
        self._room = self._segment_bytes


def read_output(folder: Path, offset: int, limit: int) -> tuple[int, bytes]:
    """Where the data begins (at `offset`, or later if that was let go) and at most `limit` bytes; none at the end."""
    for start, path in sorted((int(path.name.removeprefix(_PREFIX)), path) for path in folder.glob(f"{_PREFIX}*")):
        try:
            size = path.stat().st_size
            if start + size <= offset:
                continue
            begin = max(start, offset)
            with path.open("rb") as file:
                file.seek(begin - start)
                return begin, file.read(limit)
        except FileNotFoundError:  # let go while we looked
            continue
    return offset, b""
