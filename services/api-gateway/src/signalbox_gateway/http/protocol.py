"""uvicorn's HTTP protocol with bounds on what comes around a body: its size, and the time it may take."""

import asyncio
from typing import Any, Final

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65_536
"""Request line and headers together."""
MAX_FRAMING_BYTES: Final = 65_536
"""What may come between two parts of a body, or after it: chunk extensions and trailers."""
HEAD_SECONDS: Final = 20.0
"""How long request line and headers may take."""
BODY_SECONDS: Final = 30.0
"""How often a body that is not complete is looked at."""
MIN_BODY_BYTES: Final = 16_384
"""What must have come of it in that time, unless the service itself reads no further."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to a head over its cap, 408 to a head or body that is late, and closes the connection."""

    max_connections: int = 2000

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        self._framing_bytes = 0
        self._body_bytes = 0
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, "unavailable", f"at most {self.max_connections} connections are held here")
            return
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._refused:
            return
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "header-too-large", f"request line and headers have at most {MAX_HEAD_BYTES} bytes")
        elif not self._in_head and self._framing_bytes > MAX_FRAMING_BYTES:
            words = f"trailers and chunk extensions have at most {MAX_FRAMING_BYTES} bytes"
            self._refuse_body(431, "header-too-large", words)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are read by nobody: kept, they would fill the memory
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._framing_bytes = 0
        self._cancel_deadline()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        hosts = sum(name == b"host" for name, _ in self.headers)
        parser: Any = self.parser
        if size > MAX_HEAD_BYTES:
            self._refuse(431, "header-too-large", f"request line and headers have at most {MAX_HEAD_BYTES} bytes")
        elif hosts > 1 or (not hosts and parser.get_http_version() == "1.1"):
            self._refuse(400, "bad-request", "exactly one Host header is needed")  # RFC 9112, 3.2
        else:
            if not (parser.should_upgrade() and self._should_upgrade()):
                self._look_at_body_later()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._cancel_deadline()
        if not self._refused:
            super().on_message_complete()

    def _begin_head(self) -> None:
        self._in_head = True
        self._cancel_deadline()
        self._deadline = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        words = f"request line and headers must come within {HEAD_SECONDS:g} s"
        if self._head_bytes:
            self._refuse(408, "timeout", words)
        else:
            self.transport.close()

    def _look_at_body_later(self) -> None:
        self._body_bytes = 0
        self._deadline = asyncio.get_running_loop().call_later(BODY_SECONDS, self._look_at_body)

    def _look_at_body(self) -> None:
        if self.flow.read_paused or self._body_bytes >= MIN_BODY_BYTES:
            self._look_at_body_later()
            return
        self._refuse_body(408, "timeout", f"at least {MIN_BODY_BYTES} bytes of a body must come in {BODY_SECONDS:g} s")

    def _refuse_body(self, status: int, slug: str, detail: str) -> None:
        cycle: Any = self.cycle  # None before the first request
        if cycle is not None and cycle.response_started:
            self._refused = True  # it has its answer
            self._cancel_deadline()
            self.transport.close()
        else:
            self._refuse(status, slug, detail)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, slug: str, detail: str) -> None:
        self._refused = True
        self._cancel_deadline()
        body = to_json(
            {"type": f"/problems/{slug}", "title": detail, "status": status, "detail": detail, "trace_id": "0" * 32}
        )
        head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
