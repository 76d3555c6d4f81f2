"""uvicorn's HTTP protocol with bounds on what comes before a body: its size, and the time it may take."""

import asyncio
from typing import Any, Final

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65_536
"""Request line and headers together."""
HEAD_SECONDS: Final = 20.0
"""How long request line and headers may take."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to a head over its cap, 408 to one that does not end in time, and closes the connection."""

    max_connections: int = 2000

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
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
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "header-too-large", f"request line and headers have at most {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._begin_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel_deadline()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._refuse(431, "header-too-large", f"request line and headers have at most {MAX_HEAD_BYTES} bytes")
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
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
