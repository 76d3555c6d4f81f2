"""The log of an attempt, as the executor stored it: gzip chunks named by the offset of their first byte.

`logs/<task>/<attempt>/<offset, 16 digits>.gz`, and `end.json` once nothing more will come; a small log is one
`<offset>.last.gz`. Of a log beyond its cap the
middle is missing: between two chunks there is then a gap, which is said in its place.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from signalbox_chassis.blobs import Blobs

LOOK_SECONDS: Final = 0.5
"""The executor stores a followed log every 2 s."""
_CHUNK_BYTES: Final = 64 * 1024 * 1024
_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """One stored piece."""

    offset: int
    key: str


async def chunks(blobs: Blobs, task: UUID, attempt: int) -> tuple[list[Chunk], bool]:
    """The pieces in order, and whether the log has ended."""
    found: list[Chunk] = []
    ended = False
    for blob in await blobs.list(f"logs/{task}/{attempt}"):
        name = blob.key.rpartition("/")[2]
        digits, _, last = name.removesuffix(".gz").partition(".")
        if name == "end.json":
            ended = True
        elif name.endswith(".gz") and last in ("", "last") and len(digits) == _DIGITS and digits.isdigit():
            found.append(Chunk(int(digits), blob.key))
            ended = ended or last == "last"
    return found, ended


async def read(blobs: Blobs, pieces: list[Chunk], *, since: int = 0) -> AsyncIterator[tuple[bytes, int]]:
    """The bytes from an offset on, each piece with the offset after it."""
    first = max((n for n, piece in enumerate(pieces) if piece.offset <= since), default=0)
    at = since
    for piece in pieces[first:]:
        text = _unpacked(await blobs.read(piece.key))
        if text is None:
            if at <= piece.offset:
                at = piece.offset + 1  # behind the note, so that a follower reads it once
                yield _damaged(piece), at
            continue
        end = piece.offset + len(text)
        if end <= at:
            continue
        gap = piece.offset - at
        if gap > 0:
            yield f"\n[{gap} bytes are not kept]\n".encode(), piece.offset
            at = piece.offset
        yield text[at - piece.offset :], end
        at = end


async def tail(blobs: Blobs, pieces: list[Chunk], lines: int) -> tuple[bytes, int]:
    """The last lines, and the offset after them: read from the end, so that a long log costs what a short one does."""
    kept: list[bytes] = []
    seen = 0
    end = 0
    for piece in reversed(pieces):
        text = _unpacked(await blobs.read(piece.key))
        end = end or piece.offset + (1 if text is None else len(text))
        text = _damaged(piece) if text is None else text
        kept.append(text)
        seen += text.count(b"\n")
        if seen > lines or not lines:
            break
    content = b"".join(reversed(kept))
    parts = content.splitlines(keepends=True)
    return b"".join(parts[-lines:]) if lines else b"", end


async def rest() -> None:
    """Until it is worth looking again."""
    await asyncio.sleep(LOOK_SECONDS)


def _unpacked(packed: bytes) -> bytes | None:
    """The bytes of a piece; None if it is damaged."""
    try:
        return zlib.decompressobj(wbits=31).decompress(packed, _CHUNK_BYTES)
    except zlib.error:
        return None


def _damaged(piece: Chunk) -> bytes:
    return f"\n[the piece at byte {piece.offset} is damaged and not shown]\n".encode()
