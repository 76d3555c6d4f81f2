"""A host without containers, as one: Debian with a real systemd and nginx, in the network of a compose project."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployment.compose_stack import HOME, TOKEN, ComposeStack
from deployment.docker import Docker
from support.deadlines import block_until

IMAGE: Final = "signalbox-test/host:12"
FILE: Final = Path(__file__).with_name("stand_ins") / "host.Dockerfile"
SOURCES: Final = ("LICENSE", "pyproject.toml", "requirements.lock", "libs", "services", "deploy", "compose", "docs")
LEFT_OUT: Final = ("node_modules", "__pycache__", "services/console", "compose/secrets", "*.egg-info")
NAME: Final = "signalbox.example"
SERVICES: Final = ("planner", "executor", "scheduler", "notifier", "reprocessor", "api-gateway")
INSTALL_SECONDS: Final = 900


@dataclass
class Host:
    """One container that is a host. `stack` has the servers."""

    docker: Docker
    stack: ComposeStack

    @property
    def name(self) -> str:
        return f"{self.stack.project}-host"

    def start(self) -> None:
        """Boot it and bring the checkout to /src."""
        if not self.docker.has(IMAGE):
            self.docker.run("build", "-q", "-f", str(FILE), "-t", IMAGE, str(FILE.parent))
        # what systemd needs beside the rights of a container: a writable group of its own, and to mount
        self.docker.run(
            "run", "-d", "--name", self.name, "--network", f"{self.stack.project}_signalbox", "-e", "container=docker",
            "--cgroupns", "private", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
            "--tmpfs", "/run", "--tmpfs", "/run/lock", IMAGE,
        )  # fmt: skip
        self.booted()
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            left_out = [f"--exclude={pattern}" for pattern in LEFT_OUT]
            subprocess.run(["tar", "-C", str(HOME), *left_out, "-cf", archive.name, *SOURCES], check=True, timeout=60)
            self.run("mkdir", "/src")
            self.docker.run("cp", archive.name, f"{self.name}:/src.tar")
        self.run("tar", "-C", "/src", "-xf", "/src.tar")

    def booted(self) -> None:
        self.until("systemctl is-system-running", "running", seconds=120)

    def stop(self) -> None:
        self.docker.process("rm", "-f", self.name)

    def process(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root, however it ends."""
        return self.docker.process("exec", self.name, *words, seconds=INSTALL_SECONDS)

    def run(self, *words: str) -> str:
        """Its output. Raises AssertionError with its errors."""
        done = self.process(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-1500:]}{done.stderr[-3000:]}\n{self.journal()}"
        return done.stdout

    def shell(self, line: str) -> str:
        return self.run("sh", "-c", line)

    def journal(self) -> str:
        return self.process("journalctl", "-n", "60", "--no-pager", "-o", "cat").stdout[-8000:]

    def until(self, line: str, expected: str, *, seconds: float = 180) -> None:
        """Return when the command prints this; fail with the journal after the time."""

        def shown() -> str:
            return self.process("sh", "-c", line).stdout.strip()

        block_until(
            lambda: shown() == expected, seconds=seconds, poll_seconds=0.5,
            why=lambda: f"{line}: {shown()}, not {expected}\n{self.journal()}",
        )  # fmt: skip

    def write(self, path: str, content: str) -> None:
        self.run("sh", "-c", 'printf "%s" "$1" > "$0"', path, content)

    def active(self) -> dict[str, str]:
        """Service → what systemd says of it."""
        return {name: self.process("systemctl", "is-active", f"signalbox-{name}").stdout.strip() for name in SERVICES}

    def release(self) -> str:
        return self.shell("basename $(readlink /opt/signalbox/current)").strip()

    def admin_token(self, name: str) -> str:
        token = TOKEN.search(self.run("/src/deploy/admin.sh", "create", name))
        assert token
        return token.group()

    def ask(self, path: str, *, token: str = "", method: str = "GET", headers: str = "") -> int:
        """The status of an answer through nginx, with TLS."""
        authorization = f"Authorization: Bearer {token}\\r\\n" if token else ""
        return int(self.run("/opt/signalbox/current/bin/python", "-IS", "-c", f"""
import socket, ssl
context = ssl.create_default_context(cafile="/etc/signalbox/tls/server.crt")
plain = socket.create_connection(("127.0.0.1", 443), 10)
with context.wrap_socket(plain, server_hostname="{NAME}") as one:
    head = b"{method} {path} HTTP/1.1\\r\\nHost: {NAME}\\r\\nContent-Length: 0\\r\\n"
    one.sendall(head + b"{authorization}{headers}\\r\\n")
    print(one.makefile("rb").readline().split()[1].decode())
"""))  # fmt: skip
