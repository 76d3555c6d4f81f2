"""The command line's end of a login in a browser: a listener on this machine that gets one code (RFC 8252)."""

import base64
import hashlib
import re
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

SECONDS: Final = 300
"""How long a person has to sign in."""
_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
_PAGE: Final = b"<!doctype html><meta charset=utf-8><title>Signalbox</title><p>Signed in: go back to the terminal."


def challenge_of(verifier: str) -> str:
    """What may be known of the verifier: its SHA-256, base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


class Listener:
    """Waits on a free port of 127.0.0.1 for the browser to come back."""

    def __init__(self) -> None:
        self._codes: list[str] = []
        codes = self._codes

        class Answer(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                given = parse_qs(urlsplit(self.path).query).get("code", [""])[0]
                good = bool(_CODE.fullmatch(given))
                if good:
                    codes.append(given)
                self.send_response(200 if good else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(_PAGE if good else b"")

            def log_message(self, format: str, *args: Any) -> None:
                """Print nothing: the address holds the code."""

        self._server = HTTPServer(("127.0.0.1", 0), Answer)

    @property
    def port(self) -> int:
        return self._server.server_port

    def code(self, seconds: float) -> str | None:
        """The code the browser brought; None when it did not come in time."""
        until = time.monotonic() + seconds
        while not self._codes and (left := until - time.monotonic()) > 0:
            self._server.timeout = left
            self._server.handle_request()
        return self._codes[0] if self._codes else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()
