"""`compose/check.sh` without a Docker engine: what a host lacks is a line each, before anything is started."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from deployment.compose_stack import HOME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of `compose/` with its secrets, and a `docker` that answers, and runs nothing."""
    for name in ("check.sh", "make-secrets.sh", "compose.yaml"):
        shutil.copy(HOME / "compose" / name, tmp_path / name)
    subprocess.run([tmp_path / "make-secrets.sh"], check=True, capture_output=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text("#!/bin/sh\n")
    (tmp_path / "bin/docker").chmod(0o755)
    return tmp_path


def check(folder: Path, *, port: int = 9, path: str = "") -> list[str]:
    """The lines of the check; none if nothing is missing."""
    environment = {"PATH": f"{path or folder / 'bin'}:/usr/bin:/bin", "SIGNALBOX_PORT": str(port)}
    done = subprocess.run(
        ["/bin/bash", folder / "check.sh"], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.splitlines()


def test_nothing_is_missing_where_the_secrets_are_made(folder: Path) -> None:
    assert check(folder) == []


def test_each_missing_secret_is_a_line_that_says_what_to_do(folder: Path) -> None:
    (folder / "secrets/redis_url").unlink()
    (folder / "secrets/secret_key").chmod(0o600)
    (folder / "secrets/secret_key").write_text("")
    found = check(folder)
    assert [line.split("/")[-2].split(" ")[0] for line in found] == ["redis_url", "secret_key"]
    assert all(line.endswith("is missing or empty: run compose/make-secrets.sh") for line in found)
    (folder / ".env").unlink()
    assert check(folder) == ["check.sh: there are no secrets yet: run compose/make-secrets.sh"]


def test_a_port_in_use_is_named_unless_the_stack_itself_has_it(folder: Path) -> None:
    """`up` had started every other container before it found that out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert check(folder, port=port) == [
            f"check.sh: port {port} is in use: set another SIGNALBOX_PORT in compose/.env"
        ]
        (folder / "bin/docker").write_text("#!/bin/sh\necho running\n")
        assert check(folder, port=port) == []


def test_an_engine_that_does_not_answer_is_named(folder: Path) -> None:
    (folder / "bin/docker").write_text("#!/bin/sh\nexit 1\n")
    assert check(folder) == ["check.sh: no Docker engine answers: start it, or see docker context ls"]
