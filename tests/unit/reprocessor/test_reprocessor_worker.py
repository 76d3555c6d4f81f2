"""How a worker ends when it cannot start: a fault that may pass is retried, one that lasts is not."""

import asyncio
import struct
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from signalbox_reprocessor.facts import RETRIED_EXIT_CODES
from signalbox_reprocessor.pods import NO_RETRY_EXIT_CODES
from signalbox_reprocessor.worker import main
from signalbox_reprocessor.worker.checkpoints import Checkpoint
from signalbox_reprocessor.worker.main import Job, Worker
from signalbox_reprocessor.worker.sources import SourceFile

CLOSED_PORT = "127.0.0.1:9"
CONFIG: dict[str, Any] = {
    "job_id": "j", "token": "t", "database_url": "postgresql://127.0.0.1:9/none", "schema": "reprocessor",
    "topic": "events", "kafka": {"bootstrap.servers": CLOSED_PORT}, "max_line_bytes": 1024, "batch_size": 10,
    "parallel_workers": 1, "config": {"connection_ids": ["a"]},
}  # fmt: skip


class RecordedLedger:
    """A ledger with the given files. `ends` are the recorded ends of the worker; the first claims may fail."""

    def __init__(self, failing_claims: int = 0) -> None:
        self.ends: list[tuple[str, str | None]] = []
        self.failing_claims = failing_claims
        self.sent = 0
        self.listed: list[tuple[SourceFile, Checkpoint]] = []
        self.failed_files: list[str] = []

    async def claim(self) -> bool:
        if self.failing_claims:
            self.failing_claims -= 1
            raise ConnectionRefusedError("the database restarts")
        return True

    async def files(self) -> list[Any]:
        return self.listed

    async def save(self, checkpoints: Any, bad_lines: Any) -> None:
        """Record nothing."""

    async def end(self, status: str, error: str | None) -> None:
        self.ends.append((status, error))


def worker_of(ledger: RecordedLedger, **changes: Any) -> Worker:
    worker = Worker(Job({**CONFIG, **changes}), 0)
    worker.ledger = ledger  # pyright: ignore[reportAttributeAccessIssue]
    return worker


@contextmanager
def repository(status: int) -> Generator[str]:
    """The URL of a repository that answers every request with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


async def test_a_destination_that_is_away_at_the_start_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a broker that restarts fails the job."""
    monkeypatch.setattr(main, "METADATA_SECONDS", 0.2)
    ledger = RecordedLedger()
    code = await worker_of(ledger).run()
    assert code in RETRIED_EXIT_CODES
    assert code not in NO_RETRY_EXIT_CODES
    [(status, error)] = ledger.ends
    assert status == "failed"
    assert error is not None
    assert error.startswith("the destination does not answer: ")


@contextmanager
def refusing_broker() -> Generator[str]:
    """The address of a broker that refuses every password, as Kafka does."""
    api_versions, handshake, authenticate = 18, 17, 36
    known = struct.pack(">i9h", 3, api_versions, 0, 0, handshake, 0, 1, authenticate, 0, 0)
    mechanisms = struct.pack(">hih5s", 0, 1, 5, b"PLAIN")
    words = b"Authentication failed: Invalid username or password"
    refusal = struct.pack(f">hh{len(words)}si", 58, len(words), words, 0)

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while size := self.rfile.read(4):
                request = self.rfile.read(int.from_bytes(size))
                key, version, correlation = struct.unpack(">hhi", request[:8])
                body = {
                    api_versions: struct.pack(">h", 35 if version else 0) + known, handshake: mechanisms,
                    authenticate: refusal,
                }[key]  # fmt: skip
                self.wfile.write(struct.pack(">ii", 4 + len(body), correlation) + body)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def with_password(address: str, **changes: Any) -> dict[str, Any]:
    return {
        "bootstrap.servers": address, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
        "sasl.username": "ann", "sasl.password": "wrong", **changes,
    }  # fmt: skip


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_destination_that_refuses_the_password_is_not_retried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_running: bool
) -> None:
    """Without it a wrong password is tried by every attempt of the worker, or by one that runs, for minutes."""
    monkeypatch.setattr(main, "AUTHENTICATION_SECONDS", 1.0)
    monkeypatch.setattr(main, "METADATA_RETRY_SECONDS", 0.5)
    monkeypatch.setattr(main, "STALLED_SECONDS", 0.5)
    ledger = RecordedLedger()
    if is_running:
        ledger.listed = [one_line(tmp_path)]
        accepted_starts(monkeypatch, 1)
    with refusing_broker() as address:
        async with asyncio.timeout(30):
            code = await worker_of(ledger, kafka=with_password(address)).run()
    assert code in NO_RETRY_EXIT_CODES
    [(_, error)] = ledger.ends
    assert error is not None
    assert error.startswith("the destination refuses the credentials: ")
    assert "Invalid username or password" in error


def one_line(folder: Path) -> tuple[SourceFile, Checkpoint]:
    """A file with one event."""
    path = folder / "events.ndjson"
    path.write_text('{"a": 1}\n')
    return SourceFile(0, str(path), path.stat().st_size, str(path.stat().st_mtime_ns)), Checkpoint(0)


def accepted_starts(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The first requests for metadata find the topic, as if the password had still been good."""
    real, left = main._load_metadata, [None] * number  # pyright: ignore[reportPrivateUsage]

    def load(producer: Any, topic: str, refusals: list[str]) -> Any:
        if not left:
            return real(producer, topic, refusals)
        left.pop()
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})

    monkeypatch.setattr(main, "_load_metadata", load)


async def test_a_password_that_one_broker_refuses_and_another_takes_is_good(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broker that restarts may not know it yet. Without it the job fails for good."""
    monkeypatch.setattr(main, "STALLED_SECONDS", 0.1)
    accepted_starts(monkeypatch, 100)
    ledger = RecordedLedger()
    ledger.listed = [one_line(tmp_path)]
    with refusing_broker() as address:
        worker = worker_of(ledger, kafka=with_password(address, **{"message.timeout.ms": 2000}))
        with pytest.raises(ConnectionError, match="did not take a message"):
            await worker.run()


@pytest.mark.parametrize(("status", "is_retried"), [(503, True), (429, True), (401, False), (404, False)])
async def test_a_repository_is_retried_unless_it_refuses_the_request(status: int, is_retried: bool) -> None:
    ledger = RecordedLedger()
    with repository(status) as url:
        code = await worker_of(ledger, config={}, repository={"url": url}).run()
    assert (code in RETRIED_EXIT_CODES, code in NO_RETRY_EXIT_CODES) == (is_retried, not is_retried)
    assert str(status) in str(ledger.ends)


async def test_wrong_properties_of_the_destination_are_not_retried() -> None:
    ledger = RecordedLedger()
    assert await worker_of(ledger, kafka={"no.such.property": "1"}).run() in NO_RETRY_EXIT_CODES
    assert "no.such.property" in str(ledger.ends)


async def test_a_worker_waits_for_a_database_that_is_away_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it twenty starts are used up while the database restarts."""
    monkeypatch.setattr(main, "LEDGER_RETRY_SECONDS", 0.0)
    ledger = RecordedLedger(failing_claims=2)
    assert await worker_of(ledger, config={"connection_ids": ["a"], "dry_run": True}).run() == main.OK
    assert ledger.ends == [("completed", None)]
