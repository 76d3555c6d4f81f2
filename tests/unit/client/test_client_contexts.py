"""Stored contexts and what commands are given: races, full disks, and input that is no text."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer
from typer.testing import CliRunner, Result

from signalbox_client import contexts, documents, inputs
from signalbox_client.app import app
from signalbox_client.contexts import BadContext, Context, Contexts


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (contexts.URL, contexts.TOKEN, contexts.CONTEXT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "signalbox"


class Server(BaseHTTPRequestHandler):
    """Answers each call with what its path has; `meanwhile` runs before the answer leaves."""

    answers: ClassVar[dict[str, Any]] = {}
    requests: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        type(self).requests.append(self.path)
        found = type(self).answers[self.path]
        raw = json.dumps(found() if callable(found) else found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.answers, Server.requests = {}, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def run(*words: str, text: bytes = b"", **environment: str) -> Result:
    return CliRunner().invoke(app, list(words), input=text, env=environment, catch_exceptions=False)


TOKENS = {"access_token": "new", "username": "ann", "refresh_token": "r2"}


def test_a_session_that_is_refreshed_takes_back_no_login_of_meanwhile(server: str) -> None:
    """The contexts were read before the call and written after it."""

    def log_in_elsewhere() -> dict[str, str]:
        with contexts.changed() as kept:
            kept.known["other"] = Context("https://other", "t")
        return TOKENS

    contexts.save(Contexts("a", {"a": Context(server, "old", "ann", "r1")}))
    Server.answers["/api/v1/auth/refresh"] = log_in_elsewhere
    assert contexts.refresh("a").token == "new"
    assert {name: one.token for name, one in contexts.load().known.items()} == {"a": "new", "other": "t"}


def test_a_session_that_is_refreshed_brings_back_no_context_that_was_removed(server: str) -> None:
    def remove() -> dict[str, str]:
        contexts.forget("a")
        return TOKENS

    contexts.save(Contexts("a", {"a": Context(server, "old", "ann", "r1")}))
    Server.answers["/api/v1/auth/refresh"] = remove
    contexts.refresh("a")
    assert contexts.load() == Contexts()


def test_many_commands_that_change_contexts_at_once_lose_none() -> None:
    def add(number: int) -> None:
        with contexts.changed() as kept:
            kept.known[str(number)] = Context("https://a", "t")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contexts.load().known) == 20


def test_contexts_that_cannot_be_written_are_one_line_and_leave_no_draft(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts.save(Contexts("a", {"a": Context("https://a", "t")}))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(contexts.json, "dump", full)  # pyright: ignore[reportPrivateImportUsage]
    with pytest.raises(BadContext, match="cannot be written: No space left on device"):
        contexts.save(Contexts())
    assert not list(config.glob(".contexts-*"))


def test_a_folder_that_cannot_be_made_is_one_line(config: Path) -> None:
    config.write_text("a file")
    with pytest.raises(BadContext, match="cannot be written"), contexts.changed():
        pass


@pytest.mark.parametrize(
    "context",
    [
        '{"url": 5, "token": "t"}', '{"url": "host", "token": "t"}', '{"url": "https://a", "token": "a\\nb"}', "[]",
        '{"url": "https://a", "token": null}', '{"url": "file:///etc/passwd", "token": "t"}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_file_of_contexts_that_was_edited_is_one_line(config: Path, context: str) -> None:
    contexts.save(Contexts())
    (config / "contexts.json").write_text(f'{{"current": "a", "known": {{"a": {context}}}}}')
    done = run("plan", "list")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs as a user number without an account."""
    monkeypatch.delenv("XDG_CONFIG_HOME")

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    done = run("plan", "list")
    assert done.exit_code == 2
    assert "there is no home folder: set XDG_CONFIG_HOME" in done.stderr


def test_the_session_of_the_address_in_the_environment_is_the_one_that_ends(server: str) -> None:
    """The context in use was forgotten instead, and its session lived on."""
    kept = {"prod": Context("https://prod", "t", "ann", "r"), "here": Context(server, "t", "ann", "r")}
    contexts.save(Contexts("prod", kept))
    Server.answers["/api/v1/auth/logout"] = {"sessions": 1}
    assert run("auth", "logout", SIGNALBOX_API_URL=server).exit_code == 0
    assert contexts.load() == Contexts("prod", {"prod": kept["prod"]})
    assert run("auth", "logout", SIGNALBOX_API_URL=server, SIGNALBOX_TOKEN="sbt_x").exit_code == 0
    assert contexts.load() == Contexts("prod", {"prod": kept["prod"]}), "a token of the environment is stored nowhere"


def test_after_a_logout_no_other_context_is_in_use() -> None:
    """The next command would go to another installation, unasked."""
    contexts.save(Contexts("test", {"prod": Context("https://prod", "t"), "test": Context("https://test", "t")}))
    assert run("logout").exit_code == 0
    assert contexts.load().current == ""
    assert run("plan", "list").exit_code == 4


def test_a_password_is_not_sent_in_clear_unless_asked_to() -> None:
    words = ("auth", "register", "ann", "--email", "a@b.c", "--url", "http://signalbox.example")
    done = run(*words, text=b"secret")
    assert done.exit_code == 2
    assert "--insecure" in done.stderr


@pytest.mark.parametrize(
    ("given", "value"), [(b"a\r\nb\r\n", "a\r\nb"), (b"a\rb\n", "a\rb"), (b"a", "a"), ("ü\n".encode(), "ü")]
)
def test_a_secret_is_stored_with_its_own_line_ends(given: bytes, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert inputs.secret_value("value") == value


def test_passwords_may_hold_any_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("o\u2028ld\nn\x0bew\n".encode())))
    assert inputs.two_secret_values("old", "new") == ("o\u2028ld", "n\x0bew")


def test_input_that_is_no_text_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xffkey")))
    with pytest.raises(typer.BadParameter, match="the standard input is not UTF-8, at byte 0"):
        inputs.secret_value("value")
    file = tmp_path / "token"
    file.write_bytes(b"sbt_\xff")
    done = run("login", "--url", "http://127.0.0.1:1", "--token-file", str(file))
    assert done.exit_code == 2
    assert "is not UTF-8, at byte 4" in " ".join(done.stderr.replace("│", " ").split())


_LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": ' + "1" * 5000 + "}", "too many digits"),
        ("a: 0x" + "f" * 5000, "too many digits"),
        ("a: " + "1" * 5000, "digits"),
        ("1: a\n'1': b\n", "1 is given more than once"),
        (_LAUGHS, "anchors repeat too much"),
    ],
)
def test_a_document_that_no_api_can_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(documents.InvalidDocument, match=words):
        documents.parse(text)


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "1" * 5000])
def test_a_number_of_thousands_of_digits_is_a_problem_with_its_place(tmp_path: Path, number: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"id: p\nsteps: [{{id: a, engine: e, concurrency: {number}, work: {{kind: scripted}}}}]\n")
    done = run("pipeline", "validate", str(file), "-o", "json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)[0]["field"] == "steps.0.concurrency"
