"""What a worker reads from S3 and from the repository, and what it shows to the ledger."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_reprocessor.distribution import JobRefused
from signalbox_reprocessor.listing import list_files
from signalbox_reprocessor.settings import ReprocessorSettings
from signalbox_reprocessor.worker import streams
from signalbox_reprocessor.worker.ledger import Ledger
from signalbox_reprocessor.worker.sources import FileChanged, FileUnreadable, Source, SourceFile

PIECE = 300_000
SIZE = 12 * PIECE
CONTENT = bytes(range(256)) * (SIZE // 256 + 1)


class SlowObject(BaseHTTPRequestHandler):
    """One object that takes 3 s to read, from wherever it is read."""

    offsets: list[int]
    etag = '"one"'

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.offsets.append(start)
        if self.headers["If-Match"] != self.etag:
            self.send_response(412)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(SIZE - start))
        self.send_header("ETag", self.etag)
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}")
        self.end_headers()
        try:
            for at in range(start, SIZE, PIECE):
                self.wfile.write(CONTENT[at : min(at + PIECE, SIZE)])
                time.sleep(0.25)
        except OSError:
            pass  # the reader has ended its request

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def source() -> Iterator[Source]:
    """S3 whose client ends a request after two seconds, as it does after three minutes else."""
    SlowObject.offsets, SlowObject.etag = [], '"one"'
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowObject) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Source(
            {
                "access_key_id": "a", "secret_access_key": "b", "region": "us-east-1",
                "endpoint": f"http://127.0.0.1:{server.server_port}",
                "client_options": {"allow_http": True, "timeout": "2s"}, "retry_config": {"max_retries": 0},
            }
        )  # fmt: skip
        server.shutdown()


def test_an_object_that_takes_longer_than_a_request_may_is_read_on_where_the_request_ended(source: Source) -> None:
    """Else a large file is begun again every three minutes, and one that is never read so far fails."""
    content = b"".join(source.read(SourceFile(0, "s3://bucket/large.ndjson", SIZE, '"one"')))
    assert content == CONTENT[:SIZE]
    assert len(SlowObject.offsets) > 1, "the object takes several requests"
    assert SlowObject.offsets == sorted(set(SlowObject.offsets)), "nothing is read twice"


def test_an_object_that_is_written_again_between_two_requests_has_changed(source: Source) -> None:
    chunks = source.read(SourceFile(0, "s3://bucket/large.ndjson", SIZE, '"one"'))
    next(chunks)
    SlowObject.etag = '"two"'
    with pytest.raises(FileChanged, match="written again"):
        list(chunks)


def test_an_object_of_unknown_version_is_not_read_on(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlowObject, "etag", None)
    with pytest.raises(FileUnreadable):
        list(source.read(SourceFile(0, "s3://bucket/large.ndjson", SIZE, "")))


async def test_a_bucket_that_is_no_name_refuses_the_job_at_once() -> None:
    """Else the job is listed again every 30 s for ever."""
    config = ReprocessingConfig(s3_path="s3://[bucket/events/", connection_ids=("a",))
    with pytest.raises(JobRefused, match="is not an address"):
        await list_files(
            config, ReprocessorSettings(database_url=SecretStr("postgresql://here/a"), kafka_bootstrap="kafka:9092")
        )


class EndlessAnswer(BaseHTTPRequestHandler):
    """A repository whose answer never ends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" ")
                time.sleep(0.01)
        except OSError:
            pass  # nobody reads any more

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def test_a_repository_whose_answer_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the worker waits for ever, and its job with it."""
    monkeypatch.setattr(streams, "ANSWER_SECONDS", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), EndlessAnswer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(streams.RepositoryAway, match="did not end its answer"):
            streams.fetch_streams(f"http://127.0.0.1:{server.server_port}/", "token")
        server.shutdown()


class Redirect(BaseHTTPRequestHandler):
    """Leads to /streams of the server's other name. `given` are path and credentials of each request."""

    given: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.given.append((self.path, self.headers["Authorization"]))
        self.send_response(200 if self.path == "/streams" else 302)
        port = self.headers["Host"].partition(":")[2]
        self.send_header("Location", f"http://localhost:{port}/streams")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def test_a_redirect_to_another_host_is_followed_without_the_token() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert streams.fetch_streams(f"http://127.0.0.1:{server.server_port}/", "token") == {}
        server.shutdown()
    assert Redirect.given == [("/", "Bearer token"), ("/streams", None)]


class Connection:
    """A connection to the ledger whose first statement fails."""

    def __init__(self) -> None:
        self.is_open = True

    async def execute(self, *_: object) -> None:
        raise TimeoutError

    def terminate(self) -> None:
        self.is_open = False

    def is_closed(self) -> bool:
        return not self.is_open


async def test_a_connection_that_has_not_shown_its_token_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the worker sees no row of its own, and ends for good as if another copy had replaced it."""
    made: list[Connection] = []

    async def connect(*_: object, **__: object) -> Connection:
        made.append(Connection())
        return made[-1]

    monkeypatch.setattr("asyncpg.connect", connect)
    mine = Ledger("postgresql://", "schema", "token", "job", 0)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await mine.connect()
    assert [one.is_open for one in made] == [False, False]
