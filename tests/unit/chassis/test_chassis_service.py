"""The life of a service: parts in order, waiting for what is not there yet, an end within bounds."""

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signalbox_chassis.observability import logs
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Part, Service
from signalbox_chassis.settings import ServiceSettings

Step = Callable[[], Awaitable[None]]


async def nothing() -> None: ...


async def for_ever() -> None:
    await asyncio.Event().wait()


class FakePart:
    """Notes its starts and stops in a common list, and does what the test says, start by start."""

    def __init__(self, name: str, recorded: list[str], *starts: Exception | Step, stop: Step = nothing) -> None:
        self.name, self._recorded, self._starts, self._stop = name, recorded, list(starts), stop
        self.starting = asyncio.Event()

    async def start(self) -> None:
        self._recorded.append(f"start {self.name}")
        self.starting.set()
        does = self._starts.pop(0) if self._starts else nothing
        if isinstance(does, Exception):
            raise does
        await does()

    async def stop(self) -> None:
        self._recorded.append(f"stop {self.name}")
        await self._stop()


class FakeService(Service):
    """A service whose parts are fakes."""

    fakes: list[tuple[str, Part]]

    def _parts(self) -> list[tuple[str, Part]]:
        return self.fakes


def service(*parts: FakePart, **settings: Any) -> FakeService:
    made = FakeService("fake", ServiceSettings(**{**GIVEN, **settings}))
    made.fakes = [(part.name, part) for part in parts]
    return made


GIVEN: dict[str, Any] = {"kafka_bootstrap": "127.0.0.1:9", "database_url": "postgresql://r:password-of-r@127.0.0.1:9/d"}


async def test_parts_start_in_order_and_stop_in_reverse() -> None:
    recorded = list[str]()
    under_test = service(*(FakePart(name, recorded) for name in "abc"))
    await under_test.start()
    await under_test.stop()
    assert recorded == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


def test_work_under_way_goes_on_before_the_subscribers_read_and_new_work_begins_after() -> None:
    """After a kill the subscribers wait for the dead member's session; after a restore everything waits for a replay,
    and the watchdog looks on.
    """

    async def raised(_: UnitOfWork, floor: int) -> None: ...

    made = Service(
        "example", ServiceSettings(**GIVEN), early=[("observe", FakePart("observe", []))],
        parts=[("api", FakePart("api", []))], loops=[Loop("claim", nothing, 1.0)], after_restore=raised,
    )  # fmt: skip
    assert [name for name, _ in made._parts()] == [  # pyright: ignore[reportPrivateUsage]
        "probes", "database", "frozen", "partitions", "topics", "restore detection", "relay", "watchdog", "heartbeat",
        "replay", "observe", "bus", "api", "partitions", "redrive", "health", "claim",
    ]  # fmt: skip


async def test_a_service_is_ready_only_between_its_start_and_its_stop() -> None:
    go_on, recorded = asyncio.Event(), list[str]()

    async def slow() -> None:
        await go_on.wait()

    last = FakePart("b", recorded, slow)
    under_test = service(FakePart("a", recorded), last)
    starting = asyncio.create_task(under_test.start())
    await last.starting.wait()
    assert await under_test._is_started() == "still starting"  # pyright: ignore[reportPrivateUsage]
    go_on.set()
    await starting
    assert await under_test._is_started() == ""  # pyright: ignore[reportPrivateUsage]
    await under_test.stop()
    assert await under_test._is_started() == "still starting"  # pyright: ignore[reportPrivateUsage]


async def test_a_passing_fault_at_start_is_waited_out_and_nothing_later_starts_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = list[str]()
    b = FakePart("b", recorded, ConnectionRefusedError("not yet"), TimeoutError())
    under_test = service(FakePart("a", recorded), b, FakePart("c", recorded))
    async with asyncio.timeout(20):
        await under_test.start()
    await under_test.stop()
    assert recorded[:5] == ["start a", "start b", "start b", "start b", "start c"]
    assert "fake waits for b: ConnectionRefusedError('not yet')" in caplog.text


async def test_a_lasting_fault_at_start_stops_what_ran_and_is_raised() -> None:
    recorded = list[str]()
    under_test = service(FakePart("a", recorded), FakePart("b", recorded, ValueError("wrong")), FakePart("c", recorded))
    with pytest.raises(ValueError, match="wrong"):
        await under_test.start()
    assert recorded == ["start a", "start b", "stop b", "stop a"]


async def test_asked_to_stop_while_it_waits_for_a_part_it_ends_at_once_and_in_order() -> None:
    recorded = list[str]()
    b = FakePart("b", recorded, *[ConnectionRefusedError()] * 1000)
    under_test = service(FakePart("a", recorded), b, FakePart("c", recorded))
    serving = asyncio.create_task(under_test.serve())
    await b.starting.wait()
    under_test.ask_to_stop()
    async with asyncio.timeout(20):
        await serving
    assert "start c" not in recorded
    assert recorded[-2:] == ["stop b", "stop a"]


async def test_asked_to_stop_while_a_start_hangs_it_drops_that_start() -> None:
    """Reading definitions to their end may take minutes; SIGTERM must not wait for it."""
    dropped, recorded = asyncio.Event(), list[str]()

    async def hangs() -> None:
        try:
            await for_ever()
        finally:
            dropped.set()

    b = FakePart("b", recorded, hangs)
    under_test = service(FakePart("a", recorded), b, FakePart("c", recorded))
    serving = asyncio.create_task(under_test.serve())
    await b.starting.wait()
    under_test.ask_to_stop()
    async with asyncio.timeout(20):
        await serving
    assert dropped.is_set()
    assert recorded == ["start a", "start b", "stop b", "stop a"]


async def test_a_stop_that_raises_does_not_keep_the_others_running(caplog: pytest.LogCaptureFixture) -> None:
    recorded = list[str]()

    async def fails() -> None:
        raise OSError("gone already")

    under_test = service(FakePart("a", recorded), FakePart("b", recorded, stop=fails), FakePart("c", recorded))
    await under_test.start()
    await under_test.stop()
    assert recorded[3:] == ["stop c", "stop b", "stop a"]
    assert "stop of b failed" in caplog.text


async def test_a_stop_that_hangs_is_cut_off_and_named_and_the_others_still_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = list[str]()
    under_test = service(
        FakePart("a", recorded), FakePart("b", recorded, stop=for_ever), FakePart("c", recorded), drain_seconds=0.05
    )
    await under_test.start()
    async with asyncio.timeout(20):
        await under_test.stop()
        await under_test.stop()
    assert recorded[3:] == ["stop c", "stop b", "stop a"]
    assert "b not stopped within" in caplog.text


async def test_stopping_twice_or_before_a_start_stops_nothing_twice() -> None:
    recorded = list[str]()
    under_test = service(FakePart("a", recorded))
    await under_test.start()
    await under_test.stop()
    await under_test.stop()
    assert recorded == ["start a", "stop a"]
    idle = service(FakePart("a", recorded))
    await idle.stop()
    await idle.start()
    assert recorded == ["start a", "stop a"], "who was asked to stop does not start"


_PROGRAM = """
import asyncio, sys
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.settings import ServiceSettings

class Part:
    async def start(self):
        print("started", flush=True)
    async def stop(self):
        print("stopping", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("stopped", flush=True)

class Fake(Service):
    def _parts(self):
        return [("part", Part())]

Fake("fake", ServiceSettings(kafka_bootstrap="127.0.0.1:9", database_url="postgresql://r:p@127.0.0.1:9/d")).run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_during_an_orderly_stop_changes_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "started\n"
            process.send_signal(number)
            assert process.stdout.readline() == "stopping\n"
            process.send_signal(number)
            process.stdin.write("\n")
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in err
    assert '"message": "fake stopped"' in err


def test_run_hides_every_secret_of_the_settings_and_ends_with_1_when_a_part_cannot_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "_secrets", set[str]())
    root, aiokafka, faststream = (logging.getLogger(name) for name in ("", "aiokafka", "faststream"))
    found = root.handlers[:], root.level
    levels = [(logger, logger.level) for logger in (aiokafka, faststream)]

    async def record() -> None:
        raise ValueError("it was password-of-r")

    under_test = FakeService("fake", ServiceSettings(**GIVEN))
    under_test.fakes = [("a", FakePart("a", [], record))]
    try:
        with pytest.raises(SystemExit) as ended:
            under_test.run()
    finally:
        root.handlers[:], root.level = found
        for logger, level in levels:
            logger.setLevel(level)
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "fake ends: it was *** (ValueError)" in printed
    assert "password-of-r" not in printed
