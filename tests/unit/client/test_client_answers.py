"""What the command line makes of answers that it does not expect."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from signalbox_client import live
from signalbox_client.api import Api, Unreachable
from signalbox_client.app import app


class Server(BaseHTTPRequestHandler):
    """Answers everything with one status and one text."""

    answer: ClassVar[tuple[int, bytes]] = (200, b"{}")

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        status, body = type(self).answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def run(server: str, *words: str) -> Result:
    environment = {"HOME": "/nowhere", "SIGNALBOX_API_URL": server, "SIGNALBOX_TOKEN": "sbt_x"}
    return CliRunner().invoke(app, list(words), env=environment, catch_exceptions=False)


@pytest.mark.parametrize(
    "words",
    [("plan", "watch", "p1"), ("plan", "list"), ("task", "attempts", "t1"), ("job", "start", "j", "--wait")],
)
@pytest.mark.parametrize("answer", [b"[]", b"null", b"1", b'"text"', b'{"items": 5}', b'{"items": {"id": 1}}', b""])
def test_an_answer_of_another_service_is_one_line_with_its_exit_code(
    server: str, words: tuple[str, ...], answer: bytes
) -> None:
    """Exit code 1 would mean that the awaited work failed."""
    Server.answer = (200, answer)
    done = run(server, *words)
    assert (done.exit_code, done.stdout) == (5, "")
    assert "Traceback" not in done.stderr


def test_a_field_that_another_version_lacks_is_named(server: str) -> None:
    Server.answer = (200, json.dumps({"id": "p1", "state": "RUNNING", "waiting": None, "ended_at": None}).encode())
    done = run(server, "plan", "watch", "p1")
    assert (done.exit_code, done.stdout) == (5, "")
    assert "has no field counts: the API may have another version" in done.stderr


@pytest.mark.parametrize("errors", [5, True, "text", {"field": "a"}, [5, None]])
def test_a_problem_with_other_errors_is_still_a_refusal(server: str, errors: Any) -> None:
    problem = {"type": "/problems/some", "detail": "no such thing", "errors": errors, "users": errors}
    Server.answer = (409, json.dumps(problem).encode())
    done = run(server, "plan", "pause", "p1")
    assert done.exit_code == 2
    assert "no such thing" in done.stderr


def test_an_answer_is_printed_as_yaml(server: str) -> None:
    Server.answer = (200, b'{"name": "ann", "scopes": [{"project": "*"}]}')
    done = run(server, "whoami", "-o", "yaml")
    assert (done.exit_code, done.stdout) == (0, "name: ann\nscopes:\n- project: '*'\n")


@pytest.mark.parametrize("message", ["<html>", "[]", "1"])
def test_a_live_feed_of_another_service_is_an_error_in_words(message: str) -> None:
    def answer(socket: ServerConnection) -> None:
        socket.recv()
        socket.send(message)

    with serve_websockets(answer, "127.0.0.1", 0, subprotocols=[live.PROTOCOL]) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        feed = live.Feed(Api(f"http://127.0.0.1:{serving.socket.getsockname()[1]}", "t"))
        with pytest.raises(Unreachable, match="no messages of Signalbox"):
            next(feed.events())
        serving.shutdown()
        thread.join()


def test_a_live_feed_at_a_host_that_no_name_can_have_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TRIES", 0)
    with pytest.raises(Unreachable, match="does not answer"):
        next(live.Feed(Api("http://a..b", "t")).events())
