"""Logs of attempts in a folder: read a chunk at a time, so that a long log is never in memory as one."""

import gzip
from pathlib import Path

import pytest

from signalbox_chassis.blobs import Blobs
from signalbox_gateway import attempt_logs

KEY = "logs/00000000-0000-4000-8000-000000000001/1"


async def test_a_log_is_read_a_chunk_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(tmp_path.as_uri())
    for number in range(3):
        await blobs.write(f"{KEY}/{number * 8:016d}.gz", gzip.compress(b"8 bytes\n"))
    pieces = [attempt_logs.Chunk(number * 8, f"{KEY}/{number * 8:016d}.gz") for number in range(3)]
    seen: list[str] = []
    read = Blobs.read

    async def counted(self: Blobs, key: str) -> bytes:
        seen.append(key)
        return await read(self, key)

    monkeypatch.setattr(Blobs, "read", counted)
    stream = attempt_logs.read(blobs, pieces)
    assert await anext(stream) == (b"8 bytes\n", 8)
    assert seen == [pieces[0].key]
    assert [end async for _, end in stream] == [16, 24]
    seen.clear()
    assert await attempt_logs.tail(blobs, pieces, 0) == (b"", 24)
    assert seen == [pieces[2].key], "the end of a log is found in its last chunk"


async def test_a_damaged_piece_is_named_once_and_the_others_are_shown(tmp_path: Path) -> None:
    """Without it nothing of the log behind the piece is ever shown."""
    blobs = Blobs(tmp_path.as_uri())
    packed = gzip.compress(b"8 bytes\n")
    for number, content in enumerate((packed, b"no gzip data", packed)):
        await blobs.write(f"{KEY}/{number * 8:016d}.gz", content)
    pieces = [attempt_logs.Chunk(number * 8, f"{KEY}/{number * 8:016d}.gz") for number in range(3)]
    note = b"\n[the piece at byte 8 is damaged and not shown]\n"
    shown = [part async for part in attempt_logs.read(blobs, pieces)]
    assert shown == [(b"8 bytes\n", 8), (note, 9), (b"\n[7 bytes are not kept]\n", 16), (b"8 bytes\n", 24)]
    assert [part async for part in attempt_logs.read(blobs, pieces[:2], since=9)] == []
    assert await attempt_logs.tail(blobs, pieces[:2], 1) == (note.splitlines(keepends=True)[-1], 9)
