"""The start fence: of all copies of a start one passes."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.start_fence import NotClaimed, RunEnd, StartFence, StartUnknown, StartUnreadable

KEY = "sb-00000000-0000-0000-0000-000000000001-1"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def fence(tmp_path: Path) -> StartFence:
    return StartFence(Blobs(tmp_path.as_uri()))


async def test_of_many_drivers_one_may_start_and_may_ask_again(fence: StartFence) -> None:
    secrets = [await fence.open_send(KEY, NOW) for _ in range(10)]

    async def claim(number: int) -> bool:
        try:
            await fence.claim(KEY, secrets[number], f"driver-{number}", f"nonce-{number}", NOW)
        except NotClaimed:
            return False
        return True

    started = await asyncio.gather(*(claim(number) for number in range(10)))
    assert sum(started) == 1
    assert await claim(started.index(True))


async def test_a_driver_that_is_started_a_second_time_may_not(fence: StartFence) -> None:
    secret = await fence.open_send(KEY, NOW)
    await fence.claim(KEY, secret, "driver-1", "first", NOW)
    with pytest.raises(NotClaimed, match="begun before"):
        await fence.claim(KEY, secret, "driver-1", "second", NOW)


async def test_a_sealed_key_has_no_driver_and_an_owned_one_is_not_sealed(fence: StartFence) -> None:
    secret = await fence.open_send(KEY, NOW)
    assert (await fence.seal(KEY, "stopped", NOW)).run is None
    with pytest.raises(NotClaimed, match="called off: stopped"):
        await fence.claim(KEY, secret, "driver-1", "first", NOW)
    other = KEY.replace("1-1", "1-2")
    await fence.take(other, "driver-2", NOW)
    assert (await fence.seal(other, "stopped", NOW)).run == "driver-2"


async def test_what_never_began_never_begins(fence: StartFence) -> None:
    secret = await fence.open_send(KEY, NOW)
    await fence.take(KEY, "driver-1", NOW)
    assert await fence.never_start(KEY, NOW)
    with pytest.raises(NotClaimed, match="given up"):
        await fence.claim(KEY, secret, "driver-1", "first", NOW)


async def test_without_the_secret_nothing_is_claimed_or_reported(fence: StartFence) -> None:
    secret = await fence.open_send(KEY, NOW)
    with pytest.raises(StartUnknown):
        await fence.claim(KEY, "wrong", "driver-1", "first", NOW)
    assert await fence.owner(KEY) is None
    await fence.claim(KEY, secret, "driver-1", "first", NOW)
    with pytest.raises(NotClaimed):
        await fence.save_end(KEY, secret, "driver-2", RunEnd(exit_code=0))
    await fence.save_end(KEY, secret, "driver-1", RunEnd(exit_code=3))
    await fence.save_end(KEY, secret, "driver-1", RunEnd(exit_code=0))
    assert await fence.end(KEY) == RunEnd(exit_code=3)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\x00", b'{"nonce": "other"}'])
@pytest.mark.parametrize("fact", ["owner", "started"])
async def test_a_damaged_fact_lets_nobody_begin_and_stays_as_it_is(
    fence: StartFence, tmp_path: Path, fact: str, damage: bytes
) -> None:
    """Without it what nobody can read counts as what nobody wrote: the work begins a second time."""
    secrets = [await fence.open_send(KEY, NOW) for _ in range(2)]
    await fence.claim(KEY, secrets[0], "driver-1", "first", NOW)
    blob = tmp_path / "starts" / KEY / f"{fact}.json"
    blob.write_bytes(damage)
    for driver, nonce in (("driver-1", "first"), ("driver-1", "second")):
        with pytest.raises(StartUnreadable, match=f"{fact}.json cannot be read"):
            await fence.claim(KEY, secrets[0], driver, nonce, NOW)
    with pytest.raises(StartUnreadable if fact == "owner" else NotClaimed):
        await fence.claim(KEY, secrets[1], "driver-2", "third", NOW)
    with pytest.raises(StartUnreadable):
        await (fence.seal(KEY, "stopped", NOW) if fact == "owner" else fence.never_start(KEY, NOW))
    assert blob.read_bytes() == damage


async def test_the_secret_is_nowhere_in_the_store(fence: StartFence, tmp_path: Path) -> None:
    secret = await fence.open_send(KEY, NOW)
    texts = [str(path) + path.read_text() for path in tmp_path.rglob("*.json")]
    assert texts
    assert secret not in json.dumps(texts)
