"""The launcher of Python applications, with nobody but a scripted API behind its start fence."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from signalbox_chassis.start_fence import RunEnd, launcher


class Api(BaseHTTPRequestHandler):
    """Gives its answers in order, as they are; what was sent is kept."""

    answers: ClassVar[list[bytes]] = []
    bodies: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        type(self).bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.wfile.write(type(self).answers.pop(0))
        self.close_connection = True

    def do_GET(self) -> None:
        self.wfile.write(answered("200 OK", b"{}"))  # where a redirect leads
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def answered(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def fence() -> Iterator[launcher.Fence]:
    Api.answers, Api.bodies = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.server_port}"
        yield launcher.Fence(
            {"SIGNALBOX_START_URL": url, "SIGNALBOX_START_SECRET": "s", "SIGNALBOX_START_RUN": "driver-1"}
        )
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        answered("502 Bad Gateway", b"[]"), answered("502 Bad Gateway", b'"text"'), answered("502 Bad Gateway", b"5"),
        answered("502 Bad Gateway", b"<html>"), answered("503 Away", b"[" * 100_000), b"no HTTP at all\r\n\r\n",
        answered("200 OK", b"<html>log in"), b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    ],
)  # fmt: skip
def test_whatever_a_proxy_answers_the_call_is_repeated(fence: launcher.Fence, answer: bytes) -> None:
    """The launcher ended with a traceback: the application did not start, or its end was lost."""
    Api.answers = [answer, answered("200 OK", b"{}")]
    assert fence.post("claim", {"nonce": "n"}, 30) == (200, "")
    assert Api.bodies == [{"nonce": "n", "run": "driver-1"}] * 2


def test_a_refusal_has_its_reason(fence: launcher.Fence) -> None:
    Api.answers = [answered("409 Conflict", b'{"detail": "driver-2 has this work"}')]
    assert fence.post("claim", {"nonce": "n"}, 30) == (409, "driver-2 has this work")


def test_an_error_with_the_bytes_of_a_files_name_can_be_reported(tmp_path: Path) -> None:
    """The API refuses lone surrogates: the end of such a run was lost with its reason."""
    application = tmp_path / "application.py"
    application.write_text("import os\nopen(os.fsdecode(b'r\\xe9sum\\xe9\\x01.csv'))\n")
    code, error = launcher.run(str(application), [])
    assert code == 1
    assert "FileNotFoundError" in error
    report = json.dumps({"exit_code": code, "error": launcher.storable(error + "\0")})
    assert "sum" in RunEnd.model_validate_json(report).error
    assert "\\u0000" not in report


@pytest.mark.parametrize(("given", "code"), [("2**40 + 3", 3), ("256", 0), ("-1", 255), ("None", 0), ("7", 7)])
def test_an_exit_code_is_the_one_that_the_system_sees(tmp_path: Path, given: str, code: int) -> None:
    application = tmp_path / "application.py"
    application.write_text(f"import sys\nsys.exit({given})\n")
    ended, error = launcher.run(str(application), [])
    assert (ended, error) == (code, f"exit code {code}" if code else "")
    assert RunEnd(exit_code=ended).exit_code == code
