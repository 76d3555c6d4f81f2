"""Masking: secret values in what runs write are replaced by stars, also in the forms programs print them in.

A value is found whole, line by line where it has lines, and as base64, URL, JSON and hexadecimal text. Stars take as
many bytes as what they hide, so offsets in the log stay true.
"""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from pydantic import JsonValue
from pydantic_core import to_json

SHORTEST: Final = 6
"""Shorter values are in every text: masking them would hide the log, and tell the value by its gaps."""
_SHORTEST_BASE64: Final = 8
CUT: Final = "…"
"""Ends a text of an engine that was cut."""
SHORTEST_PART: Final = 4
"""A cut value of which less is left is not hidden: stars after every third word would tell how it begins or ends."""

MAX_SEARCHES: Final = 100
"""A search for each value costs least up to so many values; one pass over the data costs less for more."""
PROBE_BYTES: Final = 8
"""A part of a value that is at least so long is found by a search for its first or last bytes."""
PrefixIndex = dict[bytes, dict[int, set[bytes]]]
"""The first `SHORTEST` bytes of values → the length of values → the values."""


class Mask:
    """Hides the values of a run in a stream of bytes."""

    def __init__(self, secrets: frozenset[str]) -> None:
        forms = {form for value in secrets for form in _forms(value)}
        self._values = sorted(forms, key=len, reverse=True)
        self._by_prefix = _index_by_prefix(self._values) if len(self._values) > MAX_SEARCHES else None

    def __bool__(self) -> bool:
        return bool(self._values)

    def clean(self, data: bytes, *, last: bool, after_gap: bool = False, before_gap: bool = False) -> bytes:
        """What can be shown of `data`: shorter than it where its end may be the beginning of a secret, unless `last`.

        The next piece must begin where this one was cut. At a gap, where bytes were lost, what may be the rest or the
        beginning of a value is hidden too: after one, less data than the longest value has is not shown, unless `last`.
        """
        if after_gap and not last and self._values and len(data) < len(self._values[0]):
            return b""
        hidden = self._intervals(data)
        if after_gap and (rest := self._rest_at_the_beginning(data)) >= SHORTEST_PART:
            hidden = sorted([(0, rest), *hidden])
        if before_gap and (begun := self._beginning_at_the_end(data)) >= SHORTEST_PART:
            hidden = sorted([*hidden, (len(data) - begun, len(data))])
        end = len(data) if last else self._settled(data, hidden)
        shown, masked = bytearray(data[:end]), 0
        for start, stop in hidden:
            start, stop = max(start, masked), min(stop, end)
            if start < stop:
                shown[start:stop] = b"*" * (stop - start)
                masked = stop
        return bytes(shown)

    def clean_text(self, text: str) -> str:
        """The text with stars. What may be the beginning of a value is hidden before `…` too: a text was cut there."""
        return CUT.join(
            self._clean_part(part.encode("utf-8", "replace"), cut=place > 0)
            for place, part in reversed(list(enumerate(reversed(text.split(CUT)))))
        )

    def _clean_part(self, data: bytes, *, cut: bool) -> str:
        return self.clean(data, last=True, before_gap=cut).decode("utf-8", "replace")

    def clean_json(self, value: JsonValue) -> JsonValue:
        """The same JSON with stars in its texts and names, and texts of stars for numbers that hold a value.

        It never takes more bytes than before. Of two names that become the same the last one stays.
        """
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, dict):
            return {self.clean_text(name): self.clean_json(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.clean_json(part) for part in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._intervals(number := to_json(value)):
            return "*" * (len(number) - 2)  # without the two quotes
        return value

    def _intervals(self, data: bytes) -> list[tuple[int, int]]:
        """Where values are, each place of each value: they may overlap, and one may begin another."""
        if self._by_prefix is not None:
            return list(_find_all(data, self._by_prefix))
        found: list[tuple[int, int]] = []
        for value in self._values:
            at = data.find(value)
            while at >= 0:
                found.append((at, at + len(value)))
                at = data.find(value, at + 1)
        return sorted(found)

    def _settled(self, data: bytes, hidden: list[tuple[int, int]]) -> int:
        """Up to where nothing that follows can make a part of a value of what is there. No value is cut in two."""
        end = len(data) - self._beginning_at_the_end(data)
        for start, stop in reversed(hidden):  # from the last start on: an earlier one may reach over it
            if start < end < stop:
                end = start
        return end

    def _beginning_at_the_end(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a value, that of a longer one too."""
        return max((_size_of_beginning(data, value) for value in self._values), default=0)

    def _rest_at_the_beginning(self, data: bytes) -> int:
        """How many bytes at the beginning may be the rest of a value."""
        return max((_size_of_rest(data, value) for value in self._values), default=0)


def _index_by_prefix(values: Iterable[bytes]) -> PrefixIndex:
    index: PrefixIndex = {}
    for value in values:
        index.setdefault(value[:SHORTEST], {}).setdefault(len(value), set()).add(value)
    return index


def _find_all(data: bytes, index: PrefixIndex) -> Iterator[tuple[int, int]]:
    """Where values are, in one pass over the data, whatever their number."""
    for start in range(len(data) - SHORTEST + 1):
        for size, values in index.get(data[start : start + SHORTEST], {}).items():
            if data[start : start + size] in values:
                yield start, start + size


def _size_of_beginning(data: bytes, value: bytes) -> int:
    """How many bytes at the end of the data are the beginning of the value, without being all of it."""
    at = max(0, len(data) - len(value) + 1)
    while (at := data.find(value[:PROBE_BYTES], at)) >= 0:
        if value.startswith(data[at:]):
            return len(data) - at
        at += 1
    sizes = range(min(PROBE_BYTES, len(value)) - 1, 0, -1)
    return next((size for size in sizes if data.endswith(value[:size])), 0)


def _size_of_rest(data: bytes, value: bytes) -> int:
    """How many bytes at the beginning of the data are the rest of the value, without being all of it."""
    end = len(value) - 1
    while (at := data.rfind(value[-PROBE_BYTES:], 0, end)) >= 0:
        end = at + min(PROBE_BYTES, len(value))
        if value.endswith(data[:end]):
            return end
        end -= 1
    sizes = range(min(PROBE_BYTES, len(value)) - 1, 0, -1)
    return next((size for size in sizes if data.startswith(value[-size:])), 0)


def _forms(value: str) -> Iterator[bytes]:
    for text in {value, value.strip(), *_lines(value)}:
        if len(text.encode("utf-8", "replace")) >= SHORTEST:
            yield from _written(text)


def _lines(value: str) -> Iterator[str]:
    """The lines of a value with several. The frame of a key (`-----BEGIN …`) is in every key."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if not line.startswith("-----"))


def _written(text: str) -> Iterator[bytes]:
    """One text in every form."""
    raw = text.encode("utf-8", "replace")
    quoted = json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]
    forms = {text, quote(text, safe=""), quote(text), quote_plus(text), *quoted, quoted[1].replace("/", "\\/")}
    yield from (form.encode("utf-8", "replace") for form in forms)
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    for shift in range(3):  # base64 of a longer text that holds it: which letters depends on its place there
        first, end = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        for encode in (b64encode, urlsafe_b64encode):
            part = encode(b"\0" * shift + raw)[first:end]
            if len(part) >= _SHORTEST_BASE64:
                yield part
