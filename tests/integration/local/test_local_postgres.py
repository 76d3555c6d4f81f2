"""Real PostgreSQL: passwords, crashes, and folders that are not ours to use."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from stack_command import open_folder

from signalbox_local.errors import ForeignData, PortTaken, ServerNotReady
from signalbox_local.postgres import PostgresServer
from signalbox_local.process import is_zombie
from signalbox_local.programs import Programs
from support.deadlines import block_until

FAST = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "33"}


@pytest.fixture(scope="module")
def shared(programs: Programs) -> Generator[PostgresServer]:
    with open_folder() as folder:
        server = PostgresServer(folder / "pg", settings=FAST, programs=programs)
        yield server
        server.kill()


@pytest.fixture
def server(shared: PostgresServer) -> PostgresServer:
    """One server for all, running again whatever the test before did to it."""
    return shared.start()


async def value(server: PostgresServer, sql: str) -> object:
    connection = cast(Any, await asyncpg.connect(server.url, timeout=10))
    try:
        found: object = await connection.fetchval(sql)
    finally:
        await connection.close()
    return found


async def test_it_takes_only_the_generated_password(server: PostgresServer) -> None:
    assert await value(server, "SELECT current_user") == "postgres"
    assert await value(server, "SHOW password_encryption") == "scram-sha-256"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url.replace("postgres:", "postgres:x", 1).replace("postgresx:", "postgres:x"))
    assert (server.folder / "password").stat().st_mode & 0o077 == 0


async def test_it_is_utf8_listens_on_loopback_only_and_takes_settings(server: PostgresServer) -> None:
    assert await value(server, "SHOW server_encoding") == "UTF8"
    assert await value(server, "SHOW listen_addresses") == "127.0.0.1"
    assert await value(server, "SHOW unix_socket_directories") == ""
    assert await value(server, "SHOW max_connections") == "33"


async def test_rows_survive_kill_and_immediate_stop(server: PostgresServer, programs: Programs) -> None:
    url = server.url
    await value(server, "CREATE TABLE t AS SELECT 1 AS n")
    server.kill()
    assert not server.healthy()
    server.start()
    server.restart("immediate")
    again = PostgresServer(server.folder, settings=FAST, programs=programs)
    assert again.url == url
    assert await value(again, "SELECT n FROM t") == 1
    again.stop()
    assert not server.running()


def test_a_frozen_server_is_not_healthy_until_it_thaws(server: PostgresServer) -> None:
    server.freeze()
    assert not server.healthy()
    server.thaw()
    server.wait_ready()


def test_killing_a_frozen_server_leaves_no_process(server: PostgresServer) -> None:
    server.freeze()
    server.kill()
    server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has somebody else to run it as")
def test_as_root_it_runs_as_an_existing_unprivileged_user(server: PostgresServer) -> None:
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert (server.folder / "data").stat().st_uid == Path(f"/proc/{server.pid}").stat().st_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has somebody else to run it as")
def test_a_folder_closed_to_that_user_moves_to_where_it_can_work(programs: Programs) -> None:
    with tempfile.TemporaryDirectory() as closed:
        mode = Path(closed).stat().st_mode
        server = PostgresServer(Path(closed) / "pg", settings=FAST, programs=programs).start()
        try:
            real = (server.folder / "elsewhere").resolve()
            assert real.is_relative_to("/var/tmp")
            assert (real / "data" / "PG_VERSION").exists()
            assert Path(closed).stat().st_mode == mode
        finally:
            server.discard()
        assert not real.exists()


def test_a_foreign_server_on_the_data_is_named_and_left_alone(server: PostgresServer) -> None:
    pid = server.pid
    assert pid is not None
    server.process.pid_file.rename(server.folder / "hidden")  # from now on it is a stranger
    try:
        with pytest.raises(ForeignData) as refused:
            server.start()
        assert f"pid {pid}" in refused.value.what
        assert "kill -INT" in refused.value.advice
        assert server.pid is None
    finally:
        (server.folder / "hidden").rename(server.process.pid_file)
    assert server.healthy()


def test_data_of_another_version_is_refused_and_kept(server: PostgresServer) -> None:
    server.stop()
    version = server.folder / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    with pytest.raises(ForeignData, match="made by PostgreSQL 14") as refused:
        server.start()
    assert "move" in refused.value.advice
    assert version.read_text() == "14\n"
    version.write_text(right)


def test_a_folder_that_is_no_database_is_refused_and_kept(place: Path, programs: Programs) -> None:
    folder = place / "data"
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years of work")
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    with pytest.raises(ForeignData, match="no PostgreSQL data"):
        PostgresServer(place, programs=programs).start()
    assert (folder / "thesis.txt").read_text() == "ten years of work"


def test_a_half_made_cluster_is_made_anew(place: Path, programs: Programs) -> None:
    (place / "data.new").mkdir()
    (place / "data.new" / "PG_VERSION").write_text("18\n")
    server = PostgresServer(place, settings=FAST, programs=programs).start()
    server.kill()


def test_a_setting_it_refuses_is_reported_with_its_words(place: Path, programs: Programs) -> None:
    with pytest.raises(ServerNotReady, match="max_connections"):
        PostgresServer(place, settings={"max_connections": "many"}, programs=programs).start()


def test_a_port_that_is_insisted_on_and_taken_is_refused(
    server: PostgresServer, place: Path, programs: Programs
) -> None:
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{server.port}: it is taken by postgres \(pid {server.pid}\)"):
        PostgresServer(place / "other", port=server.port, programs=programs).start()


def test_a_backend_that_works_on_does_not_keep_a_killed_server_down(server: PostgresServer) -> None:
    """Without the second try a start right after kill -9 fails while old backends hold the shared memory."""
    assert server.pid is not None
    frozen = server.process._family()[1]  # pyright: ignore[reportPrivateUsage]
    os.kill(frozen, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGKILL)
    block_until(lambda: not server.running(), seconds=10, why="a kill takes its time on a busy machine")
    waker = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.7; kill -CONT {frozen}"])
    server.start()
    waker.wait()
    assert server.healthy()


def test_a_killed_server_that_nobody_reaps_does_not_keep_the_next_one_down(server: PostgresServer) -> None:
    """Without it `up` fails for ever after a kill -9 in a container whose first process does not reap."""
    killed = server.pid
    assert killed is not None
    server.process.pid_file.unlink()  # nobody finds it, so nobody reaps it before the end of this test
    os.kill(killed, signal.SIGKILL)
    server.start()
    assert is_zombie(killed)
    assert server.healthy()
    os.waitpid(killed, 0)
