"""What the command line makes of answers that it does not expect."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from signalbox_client import drawings, inputs, live, reconnect, watch
from signalbox_client.api import Api, Refused, UnexpectedAnswer, Unreachable
from signalbox_client.app import app
from signalbox_client.commands import tasks
from signalbox_client.inputs import Waiting


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
    monkeypatch.setattr(reconnect, "RECONNECT_SECONDS", 0.0)
    with pytest.raises(Unreachable, match="does not answer"):
        next(live.Feed(Api("http://a..b", "t")).events())


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words",
    [("plan", "watch", "p1", "--timeout"), ("plan", "rules", "p1", "--starts-per-minute"), ("watch", "--timeout")],
)
def test_an_option_that_is_no_finite_number_is_refused(words: tuple[str, ...], number: str) -> None:
    done = run("http://127.0.0.1:1", *words, number)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_timeout_of_zero_seconds_is_none_at_all(server: str) -> None:
    Server.answer = (200, b'{"id": "o1", "operation": "plan.pause", "state": "pending"}')
    done = run(server, "operation", "show", "o1", "--wait", "--timeout", "0")
    assert done.exit_code == 5
    assert "is not answered yet" in done.stderr


def test_a_pipeline_of_steps_one_after_the_other_is_drawn() -> None:
    """500 steps: as many as a pipeline may have."""
    steps = [{"id": f"s{n}", "depends_on": [f"s{n - 1}"] if n else []} for n in range(500)]
    lines = list(drawings.graph_lines(list(reversed(steps))))
    assert [line.split()[1] for line in lines] == [step["id"] for step in steps]
    assert lines[-1].startswith("  " * 499 + "•")


class _Flaky:
    """An API whose followed log ends without an end; the clock goes on at each sleep only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcomes: list[bytes | Exception]) -> None:
        self.now, self.sleeps, self.outcomes = 0.0, list[float](), outcomes
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr("signalbox_client.reconnect.time", clock)
        monkeypatch.setattr(tasks, "api", lambda: self)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps.append(seconds)

    def stream(self, path: str, params: dict[str, Any]) -> Iterator[bytes]:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return self._chunks(outcome)

    def _chunks(self, content: bytes) -> Iterator[bytes]:
        self.now += 1000  # a silent log
        if content:
            yield content
        raise Unreachable("the answer was incomplete")


def test_a_followed_log_that_was_silent_for_long_outlives_a_restart_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    api = _Flaky(monkeypatch, [b"", Unreachable("restart"), b"\x000\n", Unreachable("gone"), b"\x00end\n"])
    with pytest.raises(IndexError):  # no answer is left: a request followed each fault
        tasks.task_logs("t1", follow=True)
    assert api.outcomes == []


def test_a_followed_log_that_breaks_off_at_once_is_asked_for_more_and_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = _Flaky(monkeypatch, [b""] * 2000)
    with pytest.raises(IndexError):
        tasks.task_logs("t1", follow=True)
    assert api.sleeps[:5] == [0.4, 0.8, 1.6, 3.2, 5.0]
    assert set(api.sleeps[5:]) == {5.0}


def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """A full disk. Python's own message would have exit code 120."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    command = [str(Path(sys.executable).with_name("signalbox")), "context", "list", "-o", "json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), "nobody wants the output"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b'HTTP/1.1 200 OK\r\n\r\n{"id": "'])
def test_a_server_that_drips_bytes_keeps_a_call_for_its_seconds_only(start: bytes) -> None:
    """Each byte comes long before the limit of the socket: in the headers, and in the body."""
    ended = threading.Event()

    class _Drip(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.wfile.write(start)
            with contextlib.suppress(OSError):
                for _ in range(200):  # ten seconds
                    if ended.wait(0.05):
                        break
                    self.wfile.write(b"x")
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), _Drip) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            with pytest.raises(Unreachable, match=r"no complete answer in 0\.5 s"):
                Api(f"http://127.0.0.1:{listening.server_port}", "t", seconds=0.5).put("/jobs/a", {})
        finally:
            ended.set()
            listening.shutdown()


class _Away:
    """An API that answers from a list; the clock goes on at each pause only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> None:
        self.now, self.calls, self.keys, self.answers = 0.0, list[str](), set[str](), answers
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        for module in ("api", "inputs", "reconnect", "watch"):
            monkeypatch.setattr(f"signalbox_client.{module}.time", clock)
        monkeypatch.setattr(Api, "_call", self._call)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _call(self, method: str, *request: Any) -> tuple[int, bytes]:
        self.calls.append(method)
        self.keys |= {request[3]["Idempotency-Key"]} if method == "POST" else set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return 200, json.dumps(answer).encode()


REFUSED = Unreachable("http://gateway does not answer: Connection refused")
PROXY = Refused(502, {})
COUNTS = {"total": 1, "succeeded": 1, "failed": 0, "skipped": 0, "cancelled": 0, "active": 0, "unknown": 0}
RUNNING = {"id": "p1", "state": "RUNNING", "version": 1, "waiting": None, "ended_at": None, "counts": COUNTS,
           "created_at": "2026-01-01T00:00:00Z"}  # fmt: skip
ENDED = {**RUNNING, "state": "SUCCEEDED", "version": 2, "ended_at": "2026-01-01T00:01:00Z"}


@pytest.mark.parametrize("away", [REFUSED, PROXY])
def test_a_plan_is_watched_through_a_restart_of_the_gateway(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away: Exception
) -> None:
    """An upgrade restarts the gateway for 30 seconds; behind a proxy its absence is a 502."""
    api = _Away(monkeypatch, [RUNNING, *[away] * 9, ENDED])
    assert watch.plan(Api("http://gateway", "t"), "p1")["state"] == "SUCCEEDED"
    assert api.now > 30
    printed = capsys.readouterr().err
    assert "gateway not reachable since 3 s; trying again (" in printed
    assert 2 <= printed.count("trying again") <= 4, "a line now and then, not one per try"
    assert f"gateway reachable again after {api.now:.0f} s" in printed


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 300), (40.0, 40), (900.0, 900)])
def test_waiting_for_a_gateway_that_stays_away_ends_in_time_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None, seconds: int
) -> None:
    api = _Away(monkeypatch, [RUNNING, REFUSED])
    words = [] if timeout is None else ["--timeout", str(timeout)]
    done = run("http://127.0.0.1:1", "plan", "watch", "p1", *words)
    assert (done.exit_code, api.now) == (5, seconds)
    assert f"gateway not reachable since {seconds} s; giving up" in done.stderr
    assert "error: http://gateway does not answer: Connection refused" in done.stderr


@pytest.mark.parametrize("away", [REFUSED, PROXY])
def test_a_change_without_a_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch, away: Exception) -> None:
    """Nobody knows whether it was done."""
    api = _Away(monkeypatch, [away])
    waiting = reconnect.patient(Api("http://gateway", "t"), reconnect.Reconnect())
    for change in (lambda: waiting.put("/plans/p1/rules", {}), lambda: waiting.delete("/jobs/a")):
        with pytest.raises(type(away)):
            change()
    assert api.calls == ["PUT", "DELETE"]


IN_PROGRESS = Refused(409, {"type": "/problems/request-in-progress"})
PENDING = {"id": "o1", "operation": "plan.pause", "operation_id": "o1", "state": "pending", "target": "p1"}
DONE = {**PENDING, "state": "done"}


@pytest.mark.parametrize("away", [REFUSED, PROXY, IN_PROGRESS])
@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (("job", "start", "j", "--wait"), [RUNNING, ENDED]),
        (("pipeline", "run", "p", "--wait"), [RUNNING, ENDED]),
        (("plan", "pause", "p1", "--wait"), [PENDING, DONE]),
        (("oozie", "kill", "w", "--engine", "o", "--yes"), [PENDING, {**DONE, "details": {"job": "w"}}]),
    ],
)
def test_a_command_that_waits_is_sent_again_under_its_key_until_the_gateway_is_back(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], answers: list[Any], away: Exception
) -> None:
    """The first try may have arrived: its key lets the gateway do it once."""
    api = _Away(monkeypatch, [*[away] * 9, *answers])
    done = run("http://127.0.0.1:1", *words)
    assert (done.exit_code, api.calls) == (0, ["POST"] * 10 + ["GET"])
    assert len(api.keys) == 1
    assert "gateway not reachable since 3 s; trying again (" in done.stderr
    assert f"gateway reachable again after {api.now:.0f} s" in done.stderr


def test_a_start_that_waits_reads_the_parameters_when_the_gateway_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    api = _Away(monkeypatch, [*[REFUSED] * 9, {"params": {}}, RUNNING, ENDED])
    assert run("http://127.0.0.1:1", "job", "start", "j", "-p", "a=1", "--wait").exit_code == 0
    assert api.calls == ["GET"] * 10 + ["POST", "GET"]


def test_a_start_that_does_not_wait_gives_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    api = _Away(monkeypatch, [REFUSED])
    assert run("http://127.0.0.1:1", "job", "start", "j").exit_code == 5
    assert (len(api.calls), len(api.keys)) == (4, 1)
    assert api.now < 3


def test_the_timeout_of_a_start_bounds_its_requests_and_the_wait_together(monkeypatch: pytest.MonkeyPatch) -> None:
    api = _Away(monkeypatch, [*[REFUSED] * 9, RUNNING, REFUSED])
    done = run("http://127.0.0.1:1", "job", "start", "j", "--wait", "--timeout", "60")
    assert (done.exit_code, api.now) == (5, 60)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 90), (5.0, 5), (0.1, 1), (600.0, 90)])
def test_one_request_takes_no_longer_than_the_timeout(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None, seconds: float
) -> None:
    monkeypatch.setattr(inputs, "api", lambda: Api("http://gateway", "t"))
    assert Waiting(True, timeout).api().seconds == pytest.approx(seconds, abs=0.5)


@pytest.mark.parametrize("error", [Refused(404, {}), Refused(401, {}), Refused(500, {}), UnexpectedAnswer("no field")])
def test_what_another_try_does_not_change_ends_the_wait_at_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    api = _Away(monkeypatch, [RUNNING, error])
    with pytest.raises(type(error)):
        watch.plan(Api("http://gateway", "t"), "p1")
    assert api.now == 0


def test_a_live_feed_behind_a_proxy_outlasts_a_restart_of_the_gateway() -> None:
    """A proxy answers 502 while the gateway is away."""
    statuses = [502, 503, 0]

    def proxy(connection: ServerConnection, _: Any) -> Any:
        status = statuses.pop(0)
        return connection.respond(status, "away") if status else None

    def answer(socket: ServerConnection) -> None:
        socket.recv()
        socket.send(json.dumps({"subscribed": {"id": "watch", "sequence": 0}}))
        socket.send(json.dumps({"events": [{"sequence": 1}]}))
        socket.recv()

    subprotocols = [live.PROTOCOL]
    with serve_websockets(answer, "127.0.0.1", 0, subprotocols=subprotocols, process_request=proxy) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        feed = live.Feed(Api(f"http://127.0.0.1:{serving.socket.getsockname()[1]}", "t"))
        assert next(feed.events()) == {"sequence": 1}
        serving.shutdown()
    assert statuses == []
