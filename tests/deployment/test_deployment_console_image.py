"""The console's image without Docker: what it starts, in a real nginx, before a stand-in of the gateway."""

import gzip
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi import FastAPI

from deployment.compose_stack import HOME
from signalbox_gateway.http import console
from signalbox_local.ports import free_ports
from support.asgi import Answer, get
from support.deadlines import block_until

SCRIPT = b"console.log('here');\n" * 200


class Echo(BaseHTTPRequestHandler):
    """Answers with the path and the headers of the request, and the length of its body."""

    def do_GET(self) -> None:
        size = len(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        received = {"path": self.path, "size": size, **{name.lower(): value for name, value in self.headers.items()}}
        body = json.dumps(received).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written."""


@dataclass(frozen=True)
class Front:
    """A running nginx with the console, and the gateway behind it."""

    port: int
    gateway: ThreadingHTTPServer
    folder: Path
    """Holds `console/`."""

    def ask(self, path: str, *, body: bytes | None = None, **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("POST" if body is not None else "GET", path, body=body, headers=named)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def started(folder: Path, gateway: str, proxies: str, lookup: str = "") -> tuple[subprocess.Popen[bytes], int]:
    """What the image starts, with its folder and port moved."""
    if shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        pytest.skip("there is no nginx")
    port = free_ports(1)[0]
    settings = (HOME / "compose/images/nginx.conf").read_text()
    for shipped, here in (("listen 8080", f"listen 127.0.0.1:{port}"), ("root /opt/signalbox", f"root {folder}")):
        assert shipped in settings
        settings = settings.replace(shipped, here)
    (folder / "nginx.conf").write_text(("user root;\n" if os.geteuid() == 0 else "") + settings)
    shutil.copy2(HOME / "compose/images/nginx.sh", folder)
    (folder / "run").mkdir()
    environment = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin", "SIGNALBOX_GATEWAY": gateway,
        "SIGNALBOX_GATEWAY_LOOKUP": lookup, "SIGNALBOX_TRUSTED_PROXIES": proxies,
        "SIGNALBOX_NGINX_FOLDER": str(folder / "run"),
    }  # fmt: skip
    with (folder / "nginx.log").open("wb") as log:
        return subprocess.Popen(["sh", folder / "nginx.sh"], env=environment, stdout=log, stderr=log), port


@dataclass(frozen=True)
class Settings:
    """What the image is started with, beside its files."""

    proxies: str = ""
    lookup: str = ""
    host: str = "127.0.0.1"
    """By which the gateway is found."""


@pytest.fixture
def front(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Front]:
    settings: Settings = getattr(request, "param", Settings())
    (tmp_path / "console" / "assets").mkdir(parents=True)
    (tmp_path / "console" / "index.html").write_text("<!doctype html><title>Signalbox</title>")
    (tmp_path / "console" / "icon.svg").write_text("<svg/>")
    (tmp_path / "console" / "assets" / "index-1a2b.js").write_bytes(SCRIPT)
    (tmp_path / "console" / "assets" / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "secret").write_text("not of the console")
    gateway = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    address = f"{settings.host}:{gateway.server_port}"
    server, port = started(tmp_path, address, settings.proxies, settings.lookup)
    made = Front(port, gateway, tmp_path)

    def answers() -> bool:
        assert server.poll() is None, (tmp_path / "nginx.log").read_text()
        try:
            return made.ask("/console/healthz").status == 204
        except ConnectionRefusedError:
            return False

    try:
        block_until(answers, seconds=60, why="nginx answers", poll_seconds=0.1)
        yield made
    finally:
        server.terminate()
        server.wait(30)
        gateway.shutdown()
        gateway.server_close()


@pytest.mark.parametrize(
    "path", ["/console/", "/console/plans/1", "/console/icon.svg", "/console/assets/index-1a2b.js"]
)
async def test_a_file_has_the_headers_that_the_gateway_gives_it(front: Front, path: str) -> None:
    app = FastAPI()
    console.serve(app, front.folder / "console")
    by_gateway = await get(app, path)
    answer = front.ask(path)
    assert (answer.status, answer.body) == (200, by_gateway.body)
    for name in set(by_gateway.headers) - {"content-length", "content-type", "content-encoding"}:
        assert answer.headers[name] == by_gateway.headers[name], name
    assert (
        answer.headers["content-type"].split("/")[1].split(";")[0]
        == (by_gateway.headers["content-type"].split("/")[1].split(";")[0])
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_files_are_sent_packed_and_nothing_else_of_the_image_is(front: Front) -> None:
    packed = front.ask("/console/assets/index-1a2b.js", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == SCRIPT
    for path in ("/console/assets/none.js", "/console/assets/", "/console/assets/../../secret"):
        assert b"not of the console" not in front.ask(path).body
    assert front.ask("/console/assets/none.js").status == 404
    assert front.ask("/").headers["location"] == front.ask("/console").headers["location"] == "/console/"


@pytest.mark.parametrize("path", ["/api/v1/plans?limit=1&q=%2F%00//x", "/docs", "/readyz", "/api/v1/ws", "/x//../y"])
def test_the_rest_is_the_gateways_as_it_was_asked_for(front: Front, path: str) -> None:
    received = json.loads(
        front.ask(path, Host="signalbox.test:8443", X_Forwarded_For="203.0.113.9", Upgrade="websocket").body
    )
    assert received["path"] == path
    assert received["host"] == "signalbox.test:8443"
    assert received["x-forwarded-for"] == "127.0.0.1", "an address that the caller made up"
    assert (received["upgrade"], received["connection"]) == ("websocket", "upgrade")


def test_no_other_protocol_passes_than_that_of_websockets(front: Front) -> None:
    received = json.loads(front.ask("/api/v1/me", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings").body)
    assert "upgrade" not in received
    assert received.get("connection", "") == ""


def test_large_requests_reach_the_gateway_which_has_its_own_bounds(front: Front) -> None:
    assert json.loads(front.ask("/api/v1/plans", body=b"x" * 3_000_000).body)["size"] == 3_000_000
    assert json.loads(front.ask(f"/api/v1/plans?q={'x' * 60_000}").body)["path"].endswith("x" * 60_000)


@pytest.mark.parametrize("front", [Settings("127.0.0.1, 10.0.0.0/8")], indirect=True)
def test_a_trusted_proxy_names_the_caller(front: Front) -> None:
    received = json.loads(front.ask("/api/v1/me", X_Forwarded_For="198.51.100.1, 203.0.113.9, 10.1.2.3").body)
    assert received["x-forwarded-for"] == "203.0.113.9"


def test_a_gateway_that_is_away_is_a_problem_that_says_so(front: Front) -> None:
    front.gateway.shutdown()
    front.gateway.server_close()
    answer = front.ask("/api/v1/plans")
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "2"
    assert json.loads(answer.body)["type"] == "/problems/unavailable"
    assert front.ask("/console/").status == 200


@pytest.mark.parametrize("front", [Settings(lookup="start", host="localhost")], indirect=True)
def test_a_name_that_only_the_system_knows_is_looked_up_at_the_start(front: Front) -> None:
    """As in Kubernetes, where short names need the search domains that nginx's own resolver does not read."""
    received = json.loads(front.ask("/api/v1/me?wait=1s", Host="signalbox.test", Upgrade="websocket").body)
    assert (received["path"], received["host"]) == ("/api/v1/me?wait=1s", "signalbox.test")
    assert received["upgrade"] == "websocket"


def test_a_name_that_nobody_knows_at_the_start_ends_it_with_a_line(tmp_path: Path) -> None:
    server, _ = started(tmp_path, "nowhere.invalid:8000", "", "start")
    assert server.wait(60) != 0
    assert "nowhere.invalid" in (tmp_path / "nginx.log").read_text()


def test_each_line_of_its_log_is_json_without_the_query(front: Front) -> None:
    front.ask("/console/plans/1?code=of-a-login")
    front.ask('/api/v1/"quoted"?code=of-a-login')

    def logged() -> bool:
        return "quoted" in (front.folder / "nginx.log").read_text()

    block_until(logged, seconds=30, why="the request is logged", poll_seconds=0.1)
    lines = [json.loads(line) for line in (front.folder / "nginx.log").read_text().splitlines()]
    assert [line["path"] for line in lines[-2:]] == ["/console/plans/1", '/api/v1/"quoted"']
    assert "of-a-login" not in json.dumps(lines)


def test_a_proxy_that_is_no_address_ends_it_with_a_line(tmp_path: Path) -> None:
    server, _ = started(tmp_path, "127.0.0.1:1", "nonsense/99")
    assert server.wait(60) != 0
    assert "nonsense/99" in (tmp_path / "nginx.log").read_text()
