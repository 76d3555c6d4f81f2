"""A small bounded receiver of OTLP traces over HTTP: `python -m signalbox_local.receiver FILE PORT`.

In: `POST /v1/traces` (protobuf, gzip allowed).
Out: `GET /traces/{trace_id}`, `GET /traces?limit=`, `GET /healthz`, all JSON.
"""

import argparse
import json
import signal
import socket
import sqlite3
import sys
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from signalbox_local import otlp_wire
from signalbox_local.spans import SpanStore

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_CONNECTIONS = 64
MAX_LISTED = 1000
IDLE_SECONDS = 30
JSON = "application/json"


class Refused(Exception):
    """A request that is answered by `status` and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Receiver(ThreadingHTTPServer):
    """A thread per connection, at most MAX_CONNECTIONS of them; more are closed at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, store: SpanStore) -> None:
        self.store = store
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is nothing to tell
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    @property
    def store(self) -> SpanStore:
        return cast(Receiver, self.server).store

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_POST(self) -> None:
        self._answer(self._take)

    def _answer(self, act: Callable[[], tuple[str, bytes]]) -> None:
        try:
            kind, body = act()
            self._send(200, kind, body)
        except Refused as refusal:
            self.close_connection = True  # its body may not have been read
            self._send(refusal.status, JSON, json.dumps({"error": refusal.reason}).encode())
        except sqlite3.Error as error:
            self.close_connection = True
            self._send(503, JSON, json.dumps({"error": f"spans cannot be stored now: {error}"}).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    # ------------------------------------------------------------------ in

    def _take(self) -> tuple[str, bytes]:
        if urlsplit(self.path).path != "/v1/traces":
            raise Refused(404, "spans are taken at POST /v1/traces")
        if self.headers.get_content_type() != otlp_wire.PROTOBUF:
            raise Refused(415, f"only {otlp_wire.PROTOBUF} is taken (http/protobuf)")
        body = self._body()
        try:
            spans = otlp_wire.parse(body)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        self.store.add(spans)
        return otlp_wire.PROTOBUF, otlp_wire.ACCEPTED

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(411, "a Content-Length is needed")
        if int(length) > MAX_BODY_BYTES:
            raise Refused(413, f"a request may have {MAX_BODY_BYTES} bytes, this one has {length}")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(400, f"{length} bytes were announced, {len(body)} came")
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding == "identity":
            return body
        if encoding != "gzip":
            raise Refused(415, f"encoding {encoding} is not taken, only gzip")
        return _gunzip(body)

    # ------------------------------------------------------------------ out

    def _read(self) -> tuple[str, bytes]:
        parts = urlsplit(self.path)
        if parts.path == "/healthz":
            return JSON, json.dumps({"status": "ok", "spans": self.store.count()}).encode()
        if parts.path == "/traces":
            return JSON, json.dumps(self.store.latest(_limit(parts.query))).encode()
        if parts.path.startswith("/traces/"):
            spans = self.store.trace(parts.path.removeprefix("/traces/").lower())
            if not spans:
                raise Refused(404, "no such trace: it never came, or was dropped for newer ones")
            return JSON, json.dumps(spans).encode()
        raise Refused(404, "there are /traces, /traces/{trace_id} and /healthz")

    def log_message(self, format: str, *args: Any) -> None:
        """A line per request is nothing anybody reads."""


def _limit(query: str) -> int:
    text = parse_qs(query).get("limit", ["20"])[-1]
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_LISTED):
        raise Refused(400, f"limit={text} is not a number from 1 to {MAX_LISTED}")
    return int(text)


def _gunzip(body: bytes) -> bytes:
    """Unpacked, but never more than a plain body may have."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is no gzip: {error}") from error
    if len(plain) > MAX_BODY_BYTES:
        raise Refused(413, f"a request may have {MAX_BODY_BYTES} bytes, this one has more when unpacked")
    if not unpacker.eof:
        raise Refused(400, "the gzip body ends too early")
    return plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the SQLite file")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    store = SpanStore(arguments.file)
    arguments.file.chmod(0o600)
    receiver = Receiver(arguments.port, store)

    def leave(*_: object) -> None:
        threading.Thread(target=receiver.shutdown).start()  # waits for serve_forever, so not in its own thread

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    receiver.serve_forever(poll_interval=0.1)
    receiver.socket.close()
    store.close()


if __name__ == "__main__":
    socket.setdefaulttimeout(IDLE_SECONDS)
    main()
