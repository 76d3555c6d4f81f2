"""Judges one line: an event to send, one to skip, or a bad one."""

from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

SKIP: Final = "skip"
BAD_JSON: Final = "not JSON"
BAD_TEXT: Final = "not UTF-8"
NO_CONNECTION: Final = "the repository knows no connection of its stream"


class Origin(msgspec.Struct, gc=False):
    """Where an event came from."""

    sourceId: str | None = None  # noqa: N815 -- the name on the wire
    source_id: str | None = None
    slug: str | None = None


class Message(msgspec.Struct, gc=False):
    """The parts of an event that decide what becomes of it. The rest is checked as JSON and sent as it is."""

    messageCreated: str | None = None  # noqa: N815
    origin: Origin | None = None


_TYPED: Final = msgspec.json.Decoder(Message).decode
_ANY: Final = msgspec.json.Decoder().decode


class BadLineFound(ValueError):
    """The line cannot be an event; the text says why."""


def read(line: bytes) -> Message:
    """The event. Raises `BadLineFound`."""
    try:
        if not line.isascii():
            line.decode()
        try:
            return _TYPED(line)
        except msgspec.ValidationError:
            return _tolerant(line)
    except UnicodeDecodeError:
        raise BadLineFound(BAD_TEXT) from None
    except msgspec.DecodeError as error:
        raise BadLineFound(f"{BAD_JSON}: {error}"[:200]) from None
    except RecursionError:
        raise BadLineFound("JSON nested too deeply") from None


def _tolerant(line: bytes) -> Message:
    """Fields of another type than expected count as absent."""
    value: Any = _ANY(line)
    if not isinstance(value, dict):
        raise BadLineFound("JSON, but not an object")
    event = cast("dict[str, Any]", value)
    origin: Any = event.get("origin")
    names = cast("dict[str, Any]", origin) if isinstance(origin, dict) else {}
    return Message(
        _text(event.get("messageCreated")),
        Origin(*(_text(names.get(name)) for name in ("sourceId", "source_id", "slug"))) if names else None,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class Selector:
    """Which connections an event goes to, or that it is skipped."""

    def __init__(
        self,
        *,
        stream_ids: frozenset[str],
        connection_ids: tuple[str, ...],
        streams: dict[str, tuple[str, ...]] | None,
        date_from: datetime | None,
        date_to: datetime | None,
    ) -> None:
        self._stream_ids = stream_ids
        self._fixed = _header(connection_ids) if connection_ids else None
        self._streams = {name: _header(ids) for name, ids in (streams or {}).items()}
        self._dates = (date_from, date_to) if date_from or date_to else None

    def headers(self, message: Message) -> list[tuple[str, bytes]] | None:
        """The headers to send it with; None: skip it. Raises `BadLineFound` when its stream is not known."""
        origin = message.origin
        if self._stream_ids and (
            origin is None
            or not (
                origin.sourceId in self._stream_ids
                or origin.source_id in self._stream_ids
                or origin.slug in self._stream_ids
            )
        ):
            return None
        if self._dates is not None and not self._in_range(message.messageCreated):
            return None
        if self._fixed is not None:
            return self._fixed
        if origin is not None:
            for name in (origin.source_id, origin.sourceId, origin.slug):
                if name is not None and name in self._streams:
                    return self._streams[name]
        raise BadLineFound(NO_CONNECTION)

    def _in_range(self, created: str | None) -> bool:
        """Both bounds are inside. An event without a readable instant is sent."""
        assert self._dates is not None
        instant = _instant(created)
        date_from, date_to = self._dates
        if instant is None:
            return True
        return (date_from is None or instant >= date_from) and (date_to is None or instant <= date_to)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _header(ids: tuple[str, ...]) -> list[tuple[str, bytes]]:
    return [("connection_ids", ",".join(ids).encode())]
