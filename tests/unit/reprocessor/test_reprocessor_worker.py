"""How a worker ends when it cannot start: a fault that may pass is retried, one that lasts is not."""

import asyncio
import struct
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from signalbox_reprocessor.facts import RETRIED_EXIT_CODES
from signalbox_reprocessor.pods import NO_RETRY_EXIT_CODES
from signalbox_reprocessor.worker import main
from signalbox_reprocessor.worker.checkpoints import Checkpoint
from signalbox_reprocessor.worker.main import Job, Refusals, Worker
from signalbox_reprocessor.worker.pump import Stopped
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
def refusing_broker(*, drops_handshakes: bool = False) -> Generator[str]:
    """The address of a broker that refuses every password, as Kafka does, or drops the connection before."""
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
                if key == handshake and drops_handshakes:
                    return
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

    def load(producer: Any, topic: str, refusals: Refusals, stop: Event) -> Any:
        if not left:
            return real(producer, topic, refusals, stop)
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


REFUSED = "sasl_plaintext://a:1/bootstrap: SASL authentication error: Invalid username or password"


def refuse(refusals: Refusals, reason: str = REFUSED) -> None:
    refusals.note(KafkaError(KafkaError._AUTHENTICATION, reason))


class Broker:
    """A producer with a clock of its own. Its broker does not answer, and refuses the credentials at these seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: Refusals, *refused_at: float) -> None:
        self.now = 0.0
        self._refusals = refusals
        self._left = list(refused_at)
        self._pending: tuple[float, Future[Any]] | None = None
        monkeypatch.setattr(main, "STOP_SECONDS", 0)
        monkeypatch.setattr(main, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(main, "_list_topics", self._list_topics)

    def poll(self, seconds: float) -> None:
        self.now += 0.1
        while self._left and self.now >= self._left[0]:
            self._left.pop(0)
            refuse(self._refusals)
        if self._pending is not None and self.now >= self._pending[0]:
            self._pending[1].set_exception(KafkaException(KafkaError(KafkaError._TRANSPORT)))
            self._pending = None

    def _list_topics(self, _: Any, topic: str, seconds: float) -> Future[Any]:
        answer: Future[Any] = Future()
        self._pending = self.now + seconds, answer
        return answer


@pytest.mark.parametrize(
    ("refused_at", "is_certain"),
    [((0.0,), False), ((0.0, 3.0), False), ((9.0,), False), ((0.0, 9.0), True), ((13.0, 14.0), True)],
)
def test_credentials_are_wrong_if_refused_more_than_once_and_lately(
    monkeypatch: pytest.MonkeyPatch, refused_at: tuple[float, ...], is_certain: bool
) -> None:
    """A broker that came up, refused once and then hung for 10 s failed the job for good."""
    refusals = Refusals()
    with pytest.raises(main.CannotRun if is_certain else main.DestinationAway):
        load_metadata(Broker(monkeypatch, refusals, *refused_at), refusals, Event())


def load_metadata(broker: Broker, refusals: Refusals, stop: Event) -> Any:
    return main._load_metadata(broker, "events", refusals, stop)  # pyright: ignore[reportPrivateUsage]


def test_a_worker_that_waits_for_its_destination_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited up to 20 s, and was killed after 10 s with settled batches that it had not saved."""
    stop, refusals = Event(), Refusals()
    broker = Broker(monkeypatch, refusals)
    stop.set()
    with pytest.raises(Stopped):
        load_metadata(broker, refusals, stop)
    assert broker.now < 1


@pytest.mark.parametrize(
    "reason",
    [
        "a:1: SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms: ",
        "a:1: SASL PLAIN mechanism handshake failed: Local: Timed out: broker's supported mechanisms: ",
        "a:1: SASL authentication error: Disconnected: connection reset by peer",
        'Failed to acquire SASL OAUTHBEARER token: Failed to retrieve OIDC token from "x": Timeout was reached (-1)',
    ],
)
def test_a_fault_of_the_network_is_no_refusal(reason: str) -> None:
    """librdkafka gives it the same code."""
    refusals = Refusals()
    refuse(refusals, reason)
    assert not refusals
    refusals.note(KafkaError(KafkaError._ALL_BROKERS_DOWN, REFUSED))
    assert not refusals
    refuse(refusals)
    assert (bool(refusals), refusals.last, refusals.are_certain) == (True, REFUSED, False)
    refuse(refusals, reason)
    assert (refusals.last, refusals.are_certain) == (REFUSED, False)
    refuse(refusals)
    assert refusals.are_certain
    refusals.clear()
    assert not refusals


async def test_a_broker_that_drops_connections_in_the_handshake_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counted as one that refuses the credentials, and the job failed for good."""
    monkeypatch.setattr(main, "METADATA_SECONDS", 2.0)
    monkeypatch.setattr(main, "METADATA_RETRY_SECONDS", 0.5)
    monkeypatch.setattr(main, "AUTHENTICATION_SECONDS", 1.0)
    ledger = RecordedLedger()
    with refusing_broker(drops_handshakes=True) as address:
        assert await worker_of(ledger, kafka=with_password(address)).run() in RETRIED_EXIT_CODES
    assert ledger.ends[0][1] is not None
    assert ledger.ends[0][1].startswith("the destination does not answer: ")


@pytest.mark.parametrize("code", main.LASTING_TOPIC_ERRORS)
def test_what_a_broker_says_of_the_topic_while_the_worker_runs_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """One that has just started may not know the topic, or who may use it."""
    fault = SimpleNamespace(topics={"events": SimpleNamespace(error=KafkaError(code))})

    def load(*_: object) -> Any:
        return fault

    monkeypatch.setattr(main, "_load_metadata", load)
    job = Job(CONFIG)
    job.try_credentials(Event())
    with pytest.raises(main.CannotRun):
        job.producer(Refusals(), Event())


def test_properties_that_became_wrong_while_the_worker_runs_fail_nothing() -> None:
    """A certificate may be renewed at the moment."""
    job = Job({**CONFIG, "kafka": {"security.protocol": "SSL", "ssl.ca.location": "/none"}})
    with pytest.raises(main.DestinationAway):
        job.try_credentials(Event())


async def running(monkeypatch: pytest.MonkeyPatch, folder: Path, check: Callable[[Worker, Event], None]) -> Worker:
    """A worker whose destination refuses the credentials, with what tries them again."""
    monkeypatch.setattr(main, "STALLED_SECONDS", 0.1)
    accepted_starts(monkeypatch, 1)
    ledger = RecordedLedger()
    ledger.listed = [one_line(folder)]
    worker = worker_of(ledger, kafka=with_password(CLOSED_PORT))

    def try_credentials(_: Job, stop: Event) -> None:
        check(worker, stop)

    monkeypatch.setattr(Job, "try_credentials", try_credentials)
    return worker


async def test_batches_are_saved_and_a_stop_is_heard_while_the_credentials_are_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing was saved meanwhile."""
    monkeypatch.setattr(main, "ALIVE_SECONDS", 0.05)
    trying = Event()

    def check(_: Worker, stop: Event) -> None:
        trying.set()
        stop.wait(20)
        raise Stopped

    worker = await running(monkeypatch, tmp_path, check)
    saves: list[bool] = []

    async def save(checkpoints: Any, bad_lines: Any) -> None:
        saves.append(trying.is_set())
        if not trying.is_set():
            refuse(worker._refusals)  # pyright: ignore[reportPrivateUsage]
        elif saves.count(True) == 5:
            worker.progress.stop.set()

    monkeypatch.setattr(worker.ledger, "save", save)
    async with asyncio.timeout(10):
        with pytest.raises(Stopped):
            await worker.run()
    assert saves.count(True) >= 5


async def test_a_destination_that_takes_messages_again_meanwhile_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another broker may know the credentials."""
    checks: list[int] = []

    def check(worker: Worker, _: Event) -> None:
        checks.append(1)
        worker._settled_at = time.monotonic() + 60  # pyright: ignore[reportPrivateUsage]
        Thread(target=lambda: (time.sleep(0.5), worker.progress.stop.set()), daemon=True).start()
        raise main.CannotRun("the destination refuses the credentials")

    worker = await running(monkeypatch, tmp_path, check)

    def clear(_: Refusals) -> None:
        """Keep them."""

    refuse(worker._refusals)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(Refusals, "clear", clear)
    async with asyncio.timeout(10):
        with pytest.raises(Stopped):
            await worker.run()
    assert checks == [1]


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
