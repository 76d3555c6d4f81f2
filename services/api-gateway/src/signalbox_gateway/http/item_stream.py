"""Reads a large body value by value: one list of it is cut into its items without parsing the rest at once.

Other requests get their turn between items. An item over its cap, or one item too many, ends the reading there.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from signalbox_gateway.http.strict_json import InvalidJson, parse

FIRST_WINDOW: Final = 4096
"""Bytes looked at for a value first; eight times as many when it does not end there."""
BLOCK_BYTES: Final = 65_536
"""Bytes in which whole items are looked for at once."""
TURN_BYTES: Final = 65_536
"""Bytes read before other requests get their turn."""
TURN_ITEMS: Final = 1000
"""Items read before other requests get their turn: sixty thousand fit in one block."""
MAX_FIELDS: Final = 100
"""Of the body itself; no body has so many."""
MAX_SPACE: Final = 65_536
"""Bytes of white space in a row."""
_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_NEXT_ITEM: Final = re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?=\S)")


@dataclass
class SplitBody:
    """A body whose `name` holds a list: the other fields as values, the list's items as JSON texts."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    items: list[bytes] | None = None


@dataclass
class ItemStream:
    """One reading of one body."""

    raw: bytes
    name: str
    max_items: int
    max_item_bytes: int
    max_field_bytes: int
    _at: int = 0
    _turn_at: int = 0
    _turn_items: int = 0

    async def read(self) -> SplitBody:
        """All of it. Raises `InvalidJson` with the place."""
        body = SplitBody()
        self._expect(b"{", "a JSON object is expected")
        while not self._taken(b"}"):
            if body.fields or body.items is not None:
                self._expect(b",", "is not JSON: ',' or '}' is expected")
            if len(body.fields) == MAX_FIELDS:
                raise InvalidJson("", f"at most {MAX_FIELDS} fields are allowed")
            await self._add_field(body)
            await self._give_turn(0)
        self._skip()
        if self._at < len(self.raw):
            raise InvalidJson("", "is not JSON: there is more after its end")
        return body

    async def _add_field(self, body: SplitBody) -> None:
        name = self._value("", self.max_field_bytes)
        if not isinstance(name, str):
            raise InvalidJson("", "is not JSON: a name is expected")
        if name in body.fields or (name == self.name and body.items is not None):
            raise InvalidJson(name[:100], "is given more than once")
        self._expect(b":", "is not JSON: ':' is expected")
        self._skip()
        if name == self.name and self.raw[self._at : self._at + 1] == b"[":
            body.items = await self._list()
        else:
            body.fields[name] = self._value(name, self.max_field_bytes)

    async def _list(self) -> list[bytes]:
        items: list[bytes] = []
        self._at += 1
        while not self._taken(b"]"):
            if items:
                self._expect(b",", "is not JSON: ',' or ']' is expected")
            if len(items) == self.max_items:
                raise InvalidJson(self.name, f"at most {self.max_items} are allowed")
            self._skip()
            if self._take_short(items):
                continue
            start = self._at
            self._value(f"{self.name}.{len(items)}", self.max_item_bytes)
            items.append(self.raw[start : self._at])
            await self._give_turn(len(items))
        return items

    async def _give_turn(self, items: int) -> None:
        """Let other requests go on where much was read since they did."""
        if self._at - self._turn_at > TURN_BYTES or items - self._turn_items >= TURN_ITEMS:
            self._turn_at, self._turn_items = self._at, items
            await asyncio.sleep(0)

    def _take_short(self, items: list[bytes]) -> bool:
        """Add some items that lie in one block of ASCII, not the last one: most bodies are nothing else.

        The position is then before the next item; True when the list is full and the position is behind its last one.
        """
        block = self.raw[self._at : self._at + BLOCK_BYTES]
        if not block.isascii():
            return False
        text, at = block.decode(), 0
        enough = min(self.max_items, len(items) + TURN_ITEMS)
        try:
            while len(items) < enough:
                _, end = parse(text, at, short=True)
                following = _NEXT_ITEM.match(text, end)
                if following is None or end - at > self.max_item_bytes:
                    return False
                items.append(block[at:end])
                self._at += end - at
                if len(items) == self.max_items:
                    return True
                self._at += following.end() - end
                at = following.end()
        except (InvalidJson, json.JSONDecodeError):
            pass  # the way of single values finds the place
        return False

    def _value(self, place: str, max_bytes: int) -> Any:
        """The next value; the position moves behind it."""
        self._skip()
        window = FIRST_WINDOW
        while True:
            piece = self.raw[self._at : self._at + window]
            all_of_it = self._at + window >= len(self.raw)
            try:
                text = _decoded(piece, final=all_of_it)
                value, end = parse(text)
                if end < len(text) or all_of_it:  # a number may go on behind the window
                    self._at += end if text.isascii() else len(text[:end].encode())
                    return value
            except json.JSONDecodeError as error:
                if all_of_it and window < max_bytes:
                    raise InvalidJson("", f"is not JSON: {error.msg} near byte {self._at + error.pos}") from None
            except InvalidJson as error:
                field = ".".join(part for part in (place, error.field) if part)
                raise InvalidJson(field, error.allowed) from None
            if window >= max_bytes:
                raise InvalidJson(place, f"is larger than {max_bytes} bytes, or is not JSON")
            window = min(max_bytes, window * 8)

    def _skip(self) -> None:
        space = _SPACE.match(self.raw, self._at, self._at + MAX_SPACE)
        assert space is not None
        if space.end() - self._at == MAX_SPACE:
            raise InvalidJson("", f"is not JSON: more than {MAX_SPACE} bytes of white space")
        self._at = space.end()

    def _taken(self, character: bytes) -> bool:
        self._skip()
        if self.raw[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True

    def _expect(self, character: bytes, otherwise: str) -> None:
        if not self._taken(character):
            raise InvalidJson("", otherwise)


def _decoded(piece: bytes, *, final: bool) -> str:
    """The text of a window, which may end inside of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        if final or error.start < len(piece) - 3:
            raise InvalidJson("", "is not JSON: it is not UTF-8") from None
        return piece[: error.start].decode()
