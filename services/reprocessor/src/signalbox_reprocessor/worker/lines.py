"""Compressed bytes to lines. Concatenated gzip members are one file; what is not gzip is read as it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from isal import isal_zlib

GZIP: Final = b"\x1f\x8b"
_DAMAGED: Final[type[Exception]] = cast("Any", isal_zlib).error
_STEP: Final = 1 << 20
"""Bytes of one piece of decompressed data: memory stays flat whatever the ratio."""


class CorruptFile(Exception):
    """The compressed data breaks off or is damaged. What came before it was good."""


def plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a file that is gzip by its first two bytes, or plain text. Raises `CorruptFile`."""
    source = iter(chunks)
    first = b""
    for chunk in source:
        first += chunk
        if len(first) >= len(GZIP):
            break
    if not first.startswith(GZIP):
        if first:
            yield first
        yield from source
        return
    yield from _members(first, source)


def _members(data: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    member: Any = None
    while True:
        if not data:
            data = next(source, b"")
            if not data:
                break
        if member is None:
            data = data.lstrip(b"\0")  # padding between members, as gzip itself allows
            if not data:
                continue
            while len(data) < len(GZIP) and (more := next(source, b"")):
                data += more
            if not data.startswith(GZIP):
                raise CorruptFile("what follows a gzip member is not gzip")
            member = isal_zlib.decompressobj(31)
        try:
            content = member.decompress(data, _STEP)
        except _DAMAGED as error:
            raise CorruptFile(f"the gzip data is damaged: {error}") from None
        if content:
            yield content
        data = member.unconsumed_tail
        if member.eof:
            data, member = member.unused_data, None
    if member is not None:
        raise CorruptFile("the gzip data breaks off: the file is truncated")


@dataclass
class LineCutter:
    """Cuts content into lines. A line over `max_bytes` is left out; only its length is kept."""

    max_bytes: int
    _rest: bytes = b""
    _too_long: int = 0

    def cut(self, content: bytes) -> tuple[int, list[bytes]]:
        """Length of an over-long line that ended just before, or 0; and the lines that ended."""
        lines = (self._rest + content).split(b"\n") if self._rest else content.split(b"\n")
        self._rest = lines.pop()
        too_long = 0
        if self._too_long:
            if not lines:
                self._too_long += len(self._rest)
                self._rest = b""
                return 0, lines
            too_long, self._too_long = self._too_long + len(lines.pop(0)), 0
        elif lines and len(lines[0]) > self.max_bytes:
            too_long = len(lines.pop(0))
        if len(self._rest) > self.max_bytes:
            self._too_long, self._rest = len(self._rest), b""
        return too_long, lines

    def end(self) -> tuple[int, list[bytes]]:
        """The last line, when the file does not end with a line break."""
        too_long, rest = self._too_long, self._rest
        self._too_long, self._rest = 0, b""
        return too_long, [rest] if rest else []
