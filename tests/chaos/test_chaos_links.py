"""Links between a client and a server: slow, closed, silent, and as they were."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox_local.settings import load
from support.proxies import CannotBuild, Links, toxiproxy

ANSWER_SECONDS, SILENT_SECONDS = 10.0, 0.5


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says again what it hears."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


@pytest.fixture
def links(tmp_path: Path) -> Iterator[Links]:
    made = Links(tmp_path / "toxiproxy", load().cache)
    if made.missing:
        pytest.skip(made.missing)
    made.start()
    yield made
    made.stop()


def echoed(connection: socket.socket, *, seconds: float = ANSWER_SECONDS) -> bytes:
    connection.settimeout(seconds)
    connection.sendall(b"hello\n")
    return connection.recv(100)


def test_a_link_is_slowed_silenced_closed_and_healed(links: Links, echo: int) -> None:
    port = links.open("echo/one", echo)
    connection = socket.create_connection(("127.0.0.1", port))
    with connection:
        assert echoed(connection) == b"hello\n"
        links.delay("echo/one", 200)
        began = time.monotonic()
        assert echoed(connection) == b"hello\n"
        assert time.monotonic() - began >= 0.1
        links.heal_one("echo/one")
        links.silence("echo/one")
        with pytest.raises(TimeoutError):
            echoed(connection, seconds=SILENT_SECONDS)
        links.close("echo/one")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
    links.heal_one("echo/one")
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as again:
        assert echoed(again) == b"hello\n"


def test_without_go_nothing_is_between_client_and_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echo: int
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotBuild, match="no Go"):
        toxiproxy(tmp_path)
    without = Links(tmp_path / "toxiproxy", tmp_path)
    without.start()
    assert (without.open("echo", echo), without.port("echo")) == (0, 0)
    without.heal()
    without.stop()
    assert without.missing
