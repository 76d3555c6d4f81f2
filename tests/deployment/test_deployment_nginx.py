"""`deploy/nginx/signalbox.conf` in a real nginx, before a stand-in of the gateway that answers with its headers."""

import json
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deployment.compose_stack import HOME
from signalbox_local.ports import free_ports

NAME = "signalbox.test"
MAIN = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    include {folder}/site.conf;
}}
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers of the request; a followed log has one line, and goes on until the caller leaves."""

    def do_GET(self) -> None:
        if "follow=true" in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the first line\n")
            self.rfile.read()
            return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written."""


@pytest.fixture
def port(tmp_path: Path) -> Generator[int]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("there is no nginx")
    plain, secure = free_ports(2)
    gateway = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}",
         "-keyout", tmp_path / "server.key", "-out", tmp_path / "server.crt"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    site = (HOME / "deploy" / "nginx" / "signalbox.conf").read_text()
    for shipped, here in (
        ("@NAME@", NAME), ("/etc/signalbox/tls", str(tmp_path)), ("127.0.0.1:8000", f"127.0.0.1:{gateway.server_port}"),
        ("    listen [::]:80;\n", ""), ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 80", f"listen 127.0.0.1:{plain}"), ("listen 443", f"listen 127.0.0.1:{secure}"),
    ):  # fmt: skip
        assert shipped in site
        site = site.replace(shipped, here)
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(MAIN.format(folder=tmp_path))
    command = [nginx, "-p", str(tmp_path), "-e", str(tmp_path / "error.log"), "-c", str(tmp_path / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], check=False, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    server = subprocess.Popen(command)
    try:
        yield secure
    finally:
        server.terminate()
        server.wait(30)
        gateway.shutdown()
        gateway.server_close()


@contextmanager
def answer_to(port: int, path: str, headers: dict[str, str]) -> Generator[HTTPResponse]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for attempt in range(100):
        connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        with closing(connection):
            try:
                connection.request("GET", path, headers={"Host": f"{NAME}:{port}", **headers})
            except ConnectionRefusedError:  # nginx is not there yet
                if attempt == 99:
                    raise
                threading.Event().wait(0.1)
                continue
            yield connection.getresponse()
            return


FEEDS = ("/api/v1/ws", "/api/v1/ws/user/ann", "/api/v1/ws/workflow/nightly", "/api/v1/ws/user/ann/workflow/nightly")


@pytest.mark.parametrize("path", ["/console/", "/api/v1/plans", "/api/v1/auth/login", *FEEDS])
def test_the_gateway_sees_the_host_that_the_browser_names_with_its_port(port: int, path: str) -> None:
    """The live feed lets only pages of its own origin in: without the port no page at another port than 443 is live."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "X-Forwarded-For": "203.0.113.9"}
    with answer_to(port, path, upgrade) as answer:
        received = json.loads(answer.read())
    assert received["host"] == f"{NAME}:{port}"
    assert received["x-forwarded-proto"] == "https"
    assert received["x-forwarded-for"] == "127.0.0.1"
    assert received.get("upgrade") == ("websocket" if path in FEEDS else None)


def test_a_followed_log_arrives_line_by_line_and_may_be_silent_for_an_hour(port: int) -> None:
    """Buffered, a slow job shows nothing for minutes; with the time of other answers a silent log is cut."""
    with answer_to(port, "/api/v1/tasks/1/logs?follow=true", {}) as answer:
        assert answer.readline() == b"the first line\n"
    site = (HOME / "deploy" / "nginx" / "signalbox.conf").read_text()
    assert re.findall(r"proxy_read_timeout (\w+);", site) == ["3600s"]
