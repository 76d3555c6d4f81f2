"""The command line on real servers: start, find again, heal, stop, and say what is wrong."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from stack_command import Command, processes_in

from signalbox_local.kafka import KafkaCluster
from signalbox_local.postgres import PostgresServer
from signalbox_local.programs import Programs
from signalbox_local.redis import RedisServer

DEADLINE_SECONDS = 30.0


def pids(rows: list[dict[str, object]]) -> dict[object, object]:
    return {row["server"]: row["pid"] for row in rows}


@pytest.fixture
def command(place: Path, programs: Programs) -> Generator[Command]:
    command = Command(place, programs)
    yield command
    command("down")


@pytest.fixture
def small(command: Command) -> Generator[Command]:
    """The stack without a Kafka of its own, which is most of the time it takes: a given one answers its port."""
    with socket.create_server(("127.0.0.1", 0)) as kafka:
        command.env["SIGNALBOX_KAFKA_BOOTSTRAP"] = f"127.0.0.1:{kafka.getsockname()[1]}"
        yield command


def test_up_twice_changes_nothing_heals_what_crashed_and_down_leaves_nothing(command: Command) -> None:
    first = command("up")
    assert first.returncode == 0, first.stderr
    before = command.status()
    assert {row["state"] for row in before} == {"healthy"}
    again = command("up")
    assert (again.returncode, pids(command.status())) == (0, pids(before))
    env = command("env").stdout
    assert f"SIGNALBOX_KAFKA_BOOTSTRAP={before[0]['address']}" in env
    assert (command.stack / "env").stat().st_mode & 0o077 == 0

    for row in before[:2]:
        assert isinstance(row["pid"], int)
        os.kill(row["pid"], signal.SIGKILL)
    assert command("status").returncode == 1
    healed = command("up")
    assert healed.returncode == 0, healed.stderr
    after = command.status()
    assert [row["address"] for row in after] == [row["address"] for row in before]
    assert {name for name, pid in pids(after).items() if pids(before)[name] != pid} == {"kafka-1", "postgres"}

    refused = command("up", "--brokers", "3")
    assert refused.returncode == 1
    assert "a cluster of 1 broker(s), not 3" in refused.stderr
    down = command("down")
    assert (down.returncode, down.stdout.count("stopped")) == (0, len(before))
    assert processes_in(command.stack) == []
    assert command("down").stdout == "nothing of this stack was running\n"
    assert command("status").returncode == 1
    assert command("env").returncode == 2


def kill_up(command: Command, *words: str, when: str) -> None:
    up = subprocess.Popen(
        command.words("up", *words), env=command.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (command.stack / when).exists():
        assert time.monotonic() < deadline
        assert up.poll() is None
    up.kill()
    up.wait()


def wait_until_empty(command: Command) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while left := processes_in(command.stack):  # initdb dies with `up`, its last child a moment later
        assert time.monotonic() < deadline, left


@pytest.mark.parametrize("moment", ["postgres/initdb.log", "otlp/server.pid"])
def test_down_finds_what_a_killed_up_left(small: Command, moment: str) -> None:
    """Without pid files that are written before anything else, a crash of `up` would leave servers nobody knows."""
    kill_up(small, when=moment)
    assert small("down").returncode == 0
    wait_until_empty(small)


def test_down_finds_the_brokers_that_a_killed_up_left(command: Command) -> None:
    kill_up(command, "--brokers", "3", when="kafka/node2/server.pid")
    rows = command.status()
    assert [row["server"] for row in rows][:3] == ["kafka-1", "kafka-2", "kafka-3"]
    assert isinstance(rows[0]["pid"], int)
    assert command("down").returncode == 0
    wait_until_empty(command)


def test_environment_of_its_own_making_is_not_mistaken_for_given_servers(small: Command) -> None:
    """Without it `eval "$(signalbox-local env)"; signalbox-local up` would start nothing after a crash."""
    small("up")
    lines = (line.removeprefix("export ").partition("=") for line in small("env").stdout.splitlines())
    small.env |= {name: value for name, _, value in lines}
    assert {row["server"]: row["state"] for row in small.status()}["postgres"] == "healthy"
    assert small("down").stdout.count("stopped") >= 2


def test_given_servers_are_used_checked_and_never_stopped(command: Command, place: Path, programs: Programs) -> None:
    with (
        KafkaCluster(place / "k", programs=programs) as kafka,
        PostgresServer(place / "p", programs=programs) as postgres,
    ):
        command.env |= {"SIGNALBOX_KAFKA_BOOTSTRAP": kafka.bootstrap, "SIGNALBOX_DATABASE_URL": postgres.url}
        up = command("up")
        assert up.returncode == 0, up.stderr
        states = {row["server"]: row["state"] for row in command.status()}
        assert (states["kafka"], states["postgres"], states["otlp"]) == ("given, healthy", "given, healthy", "healthy")
        assert postgres.url.split(":")[2].split("@")[0] not in up.stdout
        assert f"SIGNALBOX_DATABASE_URL={postgres.url}" in command("env").stdout
        command("down")
        assert kafka.healthy()
        assert postgres.healthy()
    assert not (command.stack / "kafka").exists()


def test_a_given_server_that_does_not_answer_is_named_without_its_password(small: Command) -> None:
    small.env["SIGNALBOX_DATABASE_URL"] = "postgresql://me:hunter2@127.0.0.1:1/x"
    up = small("up")
    assert up.returncode == 2
    assert "SIGNALBOX_DATABASE_URL: nothing that speaks postgres answers at 127.0.0.1:1" in up.stderr
    assert "hunter2" not in up.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SIGNALBOX_JAVA", "/no/java", "is no Java that runs; Kafka needs 17 or newer"),
        ("SIGNALBOX_POSTGRES_BIN", "/no/postgres", "holds no `postgres` and `initdb` that run"),
        ("SIGNALBOX_REDIS_SERVER", "/bin/false", "is no redis-server that runs"),
        ("SIGNALBOX_KAFKA_PORT", "kafka", "is not a port"),
    ],
)
def test_a_wrong_setting_ends_with_2_a_reason_and_what_to_try(
    command: Command, variable: str, value: str, words: str
) -> None:
    command.env[variable] = value
    up = command("up")
    assert up.returncode == 2
    assert f"{variable}={value}" in up.stderr
    assert words in up.stderr
    assert "  try: " in up.stderr
    assert "Traceback" not in up.stderr


def test_a_taken_port_ends_with_1_and_names_the_holder(small: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        small.env["SIGNALBOX_POSTGRES_PORT"] = str(other.getsockname()[1])
        up = small("up")
    assert up.returncode == 1
    assert f"it is taken by {Path(f'/proc/{os.getpid()}/comm').read_text().strip()} (pid {os.getpid()})" in up.stderr


def test_unknown_words_end_with_2(command: Command) -> None:
    assert command("sideways").returncode == 2
    assert command("up", "--brokers", "2").returncode == 2


def test_two_ups_at_once_make_one_stack(small: Command) -> None:
    runs = [
        subprocess.Popen(small.words("up"), env=small.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=60)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert sum("another signalbox-local is at work" in text for text in outputs) == 1
    assert len(processes_in(small.stack / "otlp")) == 1


def test_a_frozen_server_is_reported_and_still_stopped(small: Command) -> None:
    small("up")
    receiver = next(row for row in small.status() if row["server"] == "otlp")
    assert isinstance(receiver["pid"], int)
    os.kill(receiver["pid"], signal.SIGSTOP)
    assert next(row for row in small.status() if row["server"] == "otlp")["state"] == "not answering"
    assert small("down").returncode == 0
    assert processes_in(small.stack) == []


def test_nothing_that_is_not_ours_is_stopped_by_down(command: Command, place: Path, programs: Programs) -> None:
    if programs.redis() is None:
        pytest.skip("no Redis can be had for this machine")
    with RedisServer(place / "mine", programs=programs) as mine:
        assert command("down").stdout == "nothing of this stack was running\n"
        assert mine.healthy()
