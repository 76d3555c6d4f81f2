"""Launchers claim their start at the gateway's routes; the Python launcher runs as on a worker."""

import asyncio
import os
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from engines.spark.claims import ClaimServer
from signalbox_chassis.blobs import Blobs
from signalbox_chassis.start_fence import JAR, LAUNCHER, StartFence

KEY = "sb-00000000-0000-0000-0000-000000000001-1"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def claims(tmp_path: Path) -> Generator[ClaimServer]:
    with ClaimServer((tmp_path / "blobs").as_uri()) as claims:
        yield claims


@pytest.fixture
def fence(tmp_path: Path) -> StartFence:
    return StartFence(Blobs((tmp_path / "blobs").as_uri()))


async def launch(url: str, secret: str, folder: Path, *words: str) -> tuple[int, str]:
    """Run the launcher in a driver's folder; its exit code and what it wrote."""
    folder.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"], "SIGNALBOX_START_URL": f"{url}/api/v1/starts/{KEY}",
        "SIGNALBOX_START_SECRET": secret, "SIGNALBOX_CLAIM_SECONDS": "0.5",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(LAUNCHER), *words, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_of_two_drivers_one_runs_the_application_and_reports_its_end(
    claims: ClaimServer, fence: StartFence, tmp_path: Path
) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import os, sys\nassert 'SIGNALBOX_START_SECRET' not in os.environ\nprint('ran', sys.argv[1:])\n"
        "open(os.environ['SIGNALBOX_RESULT'], 'w').write('{}')\nsys.exit(3)\n"
    )
    secrets = [await fence.open_send(KEY, NOW) for _ in range(2)]
    first = await launch(claims.url, secrets[0], tmp_path / "driver-1", str(app), "x")
    second = await launch(claims.url, secrets[1], tmp_path / "driver-2", str(app), "x")
    assert first[0] == 3
    assert "ran ['x']" in first[1]
    assert second == (0, "signalbox: the application is not started: not me: driver-1 has this work\n")
    end = await fence.end(KEY)
    assert end is not None
    assert (end.exit_code, end.error, end.result_bytes) == (3, "exit code 3", 2)


@pytest.mark.parametrize("fact", ["owner", "started"])
async def test_a_damaged_claim_refuses_the_start_at_once_and_is_logged_once(
    claims: ClaimServer, fence: StartFence, tmp_path: Path, caplog: pytest.LogCaptureFixture, fact: str
) -> None:
    """A launcher asks a 500 again until its limit, and then it is not known whether its application may run."""
    app = tmp_path / "app.py"
    app.write_text("print('ran')")
    secret = await fence.open_send(KEY, NOW)
    await fence.claim(KEY, secret, "driver-1", "n" * 32, NOW)
    (tmp_path / "blobs" / "starts" / KEY / f"{fact}.json").write_bytes(b"{")
    for _ in range(2):
        code, text = await launch(claims.url, secret, tmp_path / "driver-1", str(app))
        assert code == 0
        assert "the application is not started: it cannot be known whether this start was claimed before" in text
        assert f"{fact}.json cannot be read" in text
        assert "ran" not in text
    assert caplog.text.count(f"{fact}.json in the blob store cannot be read") == 1
    assert secret not in caplog.text


async def test_a_launcher_that_cannot_ask_or_has_no_secret_runs_nothing(claims: ClaimServer, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("print('ran')")
    for url, secret in (("http://127.0.0.1:1", "any"), (claims.url, "wrong")):
        code, text = await launch(url, secret, tmp_path / "driver-1", str(app))
        assert code == 75
        assert "its start could not be claimed at" in text
        assert "ran" not in text


async def test_bad_claims_are_refused_and_launchers_are_public(claims: ClaimServer) -> None:
    async with aiohttp.ClientSession(claims.url) as session:
        claim = {"run": "driver-1", "nonce": "a" * 32}
        cases: list[tuple[str, dict[str, str], dict[str, str], int]] = [
            (f"/api/v1/starts/{KEY}/claim", {}, claim, 401),
            (f"/api/v1/starts/{KEY}/claim", {"Authorization": "Bearer wrong"}, claim, 401),
            (f"/api/v1/starts/{KEY}/claim", {"Authorization": "Bearer wrong"}, {"run": "driver-1"}, 422),
            ("/api/v1/starts/../claim", {"Authorization": "Bearer wrong"}, claim, 404),
            ("/api/v1/starts/any/claim", {"Authorization": "Bearer wrong"}, claim, 404),
        ]
        for path, headers, body, status in cases:
            async with session.post(path, headers=headers, json=body) as response:
                assert response.status == status, await response.text()
        for file in (JAR, LAUNCHER):
            async with session.get(f"/api/v1/starts/launchers/{file.name}") as response:
                assert await response.read() == file.read_bytes()
        async with session.get("/api/v1/starts/launchers/other.jar") as response:
            assert response.status == 404
