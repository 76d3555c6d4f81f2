"""Two members of one group, one of which dies or freezes: every effect exactly once. Faults 12, 28 and 30."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from example_service.messages import COUNTERS
from support.proofs import proves
from support.service_fixture import Stand, commands, in_order_once, until


@pytest.mark.parametrize(
    "crash_at",
    [
        "bus.received:3",
        "work.before_commit:3",
        "work.committed:3",
        "settle.applied:3",
        "bus.handled:3",
        "relay.sent:2",
        "relay.marked:2",
    ],
)
@proves("chassis.messaging.inbox: a row is there", "F1")
async def test_a_member_killed_in_mid_batch_loses_and_repeats_nothing(stand: Stand, crash_at: str) -> None:
    """kill -9 before the transaction, around its commit, before the offset moves, before and after the relay's mark."""
    doomed = stand.spawn(SIGNALBOX_CRASH_AT=crash_at, SIGNALBOX_BATCH_MAX_MESSAGES="50")
    await stand.publish(commands(20, 30))
    assert await asyncio.to_thread(doomed.wait, 60) == -signal.SIGKILL
    stand.spawn()
    await stand.until_entries(600)
    await stand.until_sent()
    in_order_once(await stand.entries(), 20, 30)
    # a relay that dies between sending and marking sends again: readers drop the repeat by its id
    assert len({record.value for record in await stand.read_all(COUNTERS)}) == 600


@proves("F13")
async def test_with_two_members_one_killed_and_one_frozen_past_its_session_every_effect_is_once(stand: Stand) -> None:
    # the watchdog of a member that was frozen for `stuck_seconds` ends it when it thaws: here none is
    settings = {"SIGNALBOX_BATCH_MAX_MESSAGES": "20", "SIGNALBOX_STUCK_SECONDS": "600"}
    first, second, third = (stand.spawn(**settings) for _ in range(3))
    await stand.publish(commands(40, 10))
    await stand.until_entries(1)
    await asyncio.gather(*(stand.publish(commands(40, 10, first=10 * part)) for part in (1, 2, 3)))
    os.kill(second.pid, signal.SIGSTOP)
    os.kill(first.pid, signal.SIGKILL)
    await stand.publish(commands(40, 10, first=40))
    await stand.until_entries(2000)
    os.kill(second.pid, signal.SIGCONT)
    await stand.publish(commands(40, 10, first=50))
    await stand.until_entries(2400)
    await stand.until_sent()
    entries = await stand.entries()
    assert {counter: sorted(numbers) for counter, numbers in entries.items()} == {
        f"counter-{n:03d}": list(range(60)) for n in range(40)
    }
    assert third.poll() is None
    assert second.poll() is None, "the frozen member goes on"


@proves("F28")
async def test_members_that_come_and_go_every_few_seconds_do_not_stop_the_work_or_repeat_it(stand: Stand) -> None:
    """A rebalance storm: aiokafka does not wait for a running handler, so two members may hold one message at once."""
    stand.spawn()
    for part in range(4):
        newcomer = stand.spawn(SIGNALBOX_BATCH_MAX_MESSAGES="10")
        await stand.publish(commands(20, 20, first=part * 20))
        await stand.until_entries(part * 400 + 200)
        os.kill(newcomer.pid, signal.SIGKILL if part % 2 else signal.SIGTERM)
    await stand.until_entries(1600)
    await stand.until_sent()
    entries = await stand.entries()
    assert all(sorted(numbers) == list(range(80)) for numbers in entries.values()), "each exactly once"
    assert len(entries) == 20


@proves("F30")
async def test_the_same_event_a_hundred_times_on_two_members_has_one_effect(stand: Stand) -> None:
    stand.spawn(SIGNALBOX_BATCH_MAX_MESSAGES="7")
    stand.spawn(SIGNALBOX_BATCH_MAX_MESSAGES="7")
    once = commands(6, 1)
    encoded = [event for _ in range(100) for event in once]
    await asyncio.gather(*(stand.publish(encoded[part::4]) for part in range(4)))
    await stand.publish(commands(6, 1, first=1))
    await stand.until_entries(12)
    await stand.until_sent()
    assert all(sorted(numbers) == [0, 1] for numbers in (await stand.entries()).values())

    async def answers_handled() -> bool:
        return int(await stand.value("SELECT count(*) FROM inbox")) >= 12 + 12

    await until(answers_handled, why="12 commands and 12 answers in the inbox")
    assert await stand.value("SELECT count(*) FROM inbox") == 12 + 12


_STALLED = {
    "between the halves of a statement": "await connection.prepare('SELECT count(*) FROM entry')",
    "in the middle of a COPY": "await connection.copy_to_table('outbox', source=rows(), columns=['topic'])",
}
_CLIENT = """
import asyncio, asyncpg, sys
async def rows():
    yield b"counters.v1"
    await stall()
async def stall():
    print("stalled", flush=True)
    await asyncio.sleep(600)
async def main():
    settings = {"search_path": sys.argv[2], "application_name": "example"}
    connection = await asyncpg.connect(sys.argv[1], server_settings=settings)
    await connection.execute("BEGIN")
    await connection.execute("LOCK TABLE entry IN SHARE ROW EXCLUSIVE MODE")
    %s
    await stall()
asyncio.run(main())
"""


@pytest.mark.parametrize("where", _STALLED)
async def test_a_process_that_stops_in_mid_statement_holds_up_nobody_for_ever(
    stand: Stand, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL's own limits strike neither here nor there: the session is not idle, and waits for its client."""
    monkeypatch.setattr("signalbox_chassis.runtime.service.FROZEN_SECONDS", 1.0)
    words = [sys.executable, "-c", _CLIENT % _STALLED[where], stand.url, stand.schema]
    child = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"stalled\n"
        async with stand.running(), stand.database() as idle:
            await stand.publish(commands(3, 3))
            await stand.until_entries(9)
            assert await idle.fetchval("SELECT 1") == 1, "one that is merely idle is left alone"
    finally:
        child.kill()
        await child.wait()
