"""Poison among good messages: the good ones are applied once and in order, the poison is parked and can be redriven.

Faults 32 and 33 of the fault list.
"""

import asyncio
import base64
import contextlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from example_service.handlers import Bug
from example_service.messages import COMMANDS, COUNTERS
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.operations import (
    DeadLetterDrop,
    DeadLetterDropData,
    DeadLetterRedrive,
    DeadLetterRedriveData,
)
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import MessageTooLarge, encode
from support.proofs import proves
from support.service_fixture import RawRecord, Stand, commands, forget_offsets, in_order_once, until

OPERATIONS, NOTICES = topic("operations.v1"), topic("dead-letters.v1")
KEY = b"counter-000"


def good() -> list[RawRecord]:
    records = [encode(event, topic=COMMANDS) for event in commands(10, 20)]
    return [(record.key, record.value, record.headers) for record in records]


def changed(**changes: Any) -> bytes:
    """A good message of its own id with some attributes replaced."""
    event = commands(1, 1, first=5000)[0].model_dump(mode="json", exclude_none=True)
    return json.dumps({**event, "id": str(uuid.uuid4()), **changes}).encode()


STRANGE = (("nothing", None), ("bytes", b"\xff\xfe"), ("text", "grün".encode()))
POISON: dict[str, tuple[RawRecord, str]] = {
    "body that is not JSON": ((KEY, b"\xff\xfe not json", ()), "JSON"),
    "no CloudEvent": ((KEY, b'{"hello": 1}', ()), "type"),
    "wrong type of a field": ((KEY, changed(data={"number": "many"}), ()), "number"),
    "time without zone": ((KEY, changed(time="2026-01-01T00:00:00"), ()), "time"),
    "time outside the calendar": ((KEY, changed(time="9999-12-31T23:59:59-23:59"), ()), "calendar"),
    "tombstone": ((KEY, None, ()), "not compacted"),
    "null character": ((KEY, changed(data={"number": 1, "filler": "\u0000"}), ()), "NUL"),
    "700 KiB body": ((KEY, changed(data={"number": 1, "filler": "x" * 700_000}), ()), "at most"),
    "bare number": ((KEY, b"1", ()), ""),
    "null and non-UTF-8 headers and no JSON": ((KEY, b"nor this", STRANGE), "JSON"),
}
STRANGE_HEADERS: list[RawRecord] = [
    (KEY, changed(subject="counter-null"), (("note", None),)),
    (KEY, changed(subject="counter-bytes"), (("note", b"\xff\xfe"), ("reply_to", b"signalbox.evil"))),
]
UNKNOWN: RawRecord = (KEY, changed(type="signalbox.counter.explode.v1"), ())


async def parked(stand: Stand) -> list[dict[str, Any]]:
    rows = await stand.rows("SELECT * FROM dead_letter ORDER BY parked_at, record_offset")
    return [dict(row) for row in rows]


@proves("F32")
async def test_poison_of_every_kind_is_parked_and_two_hundred_messages_around_it_are_applied_once(stand: Stand) -> None:
    """INVARIANT: nothing but the message at fault is lost to its key. Without it one bad producer stops a partition."""
    messages = good()
    for place, (record, _) in enumerate(POISON.values()):
        messages.insert(10 + place * 20, record)
    messages[5:5] = [*STRANGE_HEADERS, UNKNOWN]
    async with stand.running():
        await stand.produce(messages)
        await stand.until_entries(200 + len(STRANGE_HEADERS))

        async def all_parked() -> bool:
            return len(await parked(stand)) == len(POISON)

        await until(all_parked, why=f"{len(POISON)} parked")
        await stand.until_sent()
    entries = await stand.entries()
    assert entries.pop("counter-null") == entries.pop("counter-bytes") == [5000]
    in_order_once(entries, 10, 20)
    letters = await parked(stand)
    by_value = {letter["value"]: letter for letter in letters}
    for kind, ((key, value, _), notices) in POISON.items():
        letter = by_value[value]
        assert letter["key"] == key, kind
        assert notices in letter["error"], (kind, letter["error"])
        assert len(letter["error"]) <= 2000
    stored = json.loads(by_value[b"nor this"]["headers"])
    assert [(name, value and base64.b64decode(value)) for name, value in stored] == list(STRANGE)
    notices = [json.loads(record.value or b"")["data"] for record in await stand.read_all(NOTICES)]
    assert {notice["dead_letter_id"] for notice in notices} == {str(letter["id"]) for letter in letters}
    noted = next(notice["headers"] for notice in notices if notice["value_bytes"] == len(b"nor this"))
    assert noted == [{"name": "nothing"}, {"name": "bytes", "base64": "//4="}, {"name": "text", "text": "grün"}]
    largest = max(notices, key=lambda notice: notice["value_bytes"])
    assert len(base64.b64decode(largest["value_start"])) == 65_536


async def published_states(stand: Stand) -> list[dict[str, Any]]:
    """The data of every `dead_letter.state` on the notices' topic, in its order."""
    events = [json.loads(record.value or b"") for record in await stand.read_all(NOTICES)]
    return [event["data"] for event in events if event["type"] == "signalbox.dead_letter.state.v1"]


@proves("F33")
async def test_a_handler_bug_parks_only_its_counter_and_a_redrive_after_the_fix_applies_it_once(stand: Stand) -> None:
    bug = Bug({"counter-003"})
    async with stand.running(bug):
        await stand.produce(good())
        await stand.until_entries(180)

        async def all_parked() -> bool:
            return len(await parked(stand)) == 20

        await until(all_parked, why="the 20 messages of one counter parked")
        letters = await parked(stand)
        assert {letter["event_type"] for letter in letters} == {"signalbox.counter.add.v1"}
        assert all("ZeroDivisionError" in letter["error"] for letter in letters)

        ids = [letter["id"] for letter in letters]
        await stand.publish([redrive(ids)], on=OPERATIONS)  # before the fix: fails again, stays parked

        async def tried_again() -> bool:
            return all(letter["attempts"] == 2 and letter["state"] == "PARKED" for letter in await parked(stand))

        await until(tried_again, why="every letter tried twice")
        bug.counters.clear()
        again = redrive(ids)
        await stand.publish([again, again], on=OPERATIONS)
        await stand.until_entries(200)
        await stand.until_sent()
    in_order_once(await stand.entries(), 10, 20)
    assert {letter["state"] for letter in await parked(stand)} == {"REDRIVEN"}
    results = [json.loads(record.value or b"")["data"] for record in await stand.read_all(topic("states.v1"))]
    assert [result["outcome"] for result in results] == ["done", "done"], "the repeated operation is answered once"
    stated = [
        (record["dead_letter_id"], record["state"], record["attempts"]) for record in await published_states(stand)
    ]
    assert sorted(stated) == sorted(
        [(str(id), "PARKED", 2) for id in ids] + [(str(id), "REDRIVEN", 2) for id in ids]
    ), "what became of each attempt is published once"
    assert len(await stand.read_all(COUNTERS)) == 200


async def test_a_dropped_letter_keeps_its_reason_and_a_foreign_service_leaves_it_alone(stand: Stand) -> None:
    async with stand.running(Bug({"counter-000"})):
        await stand.publish(commands(1, 2))

        async def both_parked() -> bool:
            return len(await parked(stand)) == 2

        await until(both_parked)
        first, second = [letter["id"] for letter in await parked(stand)]
        await stand.publish([drop([first], "example"), drop([second], "somebody-else")], on=OPERATIONS)

        async def dropped() -> bool:
            return (await parked(stand))[0]["state"] == "DROPPED"

        await until(dropped)
    letters = {letter["id"]: letter for letter in await parked(stand)}
    assert (letters[first]["reason"], letters[first]["actor"]) == ("not wanted", "user:ann")
    assert letters[second]["state"] == "PARKED"


async def test_a_settled_letter_stays_settled_when_its_topic_is_replayed(stand: Stand) -> None:
    """Offsets get lost, topics are replayed: what a person gave up must neither come back nor be handled after all."""
    bug = Bug({"counter-000"})
    undecodable: RawRecord = (KEY, b"not json", ())
    async with stand.running(bug):
        await stand.publish(commands(1, 1))
        await stand.produce([undecodable])

        async def both_parked() -> bool:
            return len(await parked(stand)) == 2

        await until(both_parked)
        await stand.publish([drop([letter["id"] for letter in await parked(stand)], "example")], on=OPERATIONS)

        async def all_dropped() -> bool:
            return {letter["state"] for letter in await parked(stand)} == {"DROPPED"}

        await until(all_dropped)
        await stand.until_sent()
    assert [state["state"] for state in await published_states(stand)] == ["DROPPED", "DROPPED"]
    bug.counters.clear()
    await forget_offsets(stand, f"{stand.prefix}example.control", COMMANDS)
    async with stand.running(bug):
        await stand.publish(commands(1, 1, first=7))
        await stand.until_entries(1)
        await stand.until_sent()
    assert await stand.entries() == {"counter-000": [7]}
    assert {letter["state"] for letter in await parked(stand)} == {"DROPPED"}


async def test_two_mebibytes_are_refused_by_the_broker_and_a_handler_cannot_publish_over_the_cap(stand: Stand) -> None:
    with pytest.raises(MessageSizeTooLargeError):
        await stand.produce([(KEY, b"x" * (2 << 20), ())])
    with pytest.raises(MessageTooLarge, match="262144"):
        await stand.accept(commands(1, 1, filler="x" * 300_000))
    assert await stand.value("SELECT count(*) FROM outbox") == 0


@proves("F29")
async def test_a_message_whose_handler_always_runs_into_the_time_limit_is_parked_not_retried_for_ever(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("example_service.store.save", never)
    async with stand.running(handler_timeout_seconds=0.3, retry_seconds=0.5):
        await stand.publish(commands(1, 1))

        async def is_parked() -> bool:
            return [letter["error"][:12] for letter in await parked(stand)] == ["TimeoutError"]

        await until(is_parked)


@pytest.mark.parametrize(("fault", "notices"), [("swallowed", "InFailedSQLTransaction"), ("cancelled", "StrayCancel")])
async def test_a_handler_that_swallows_a_database_error_or_lets_a_cancel_escape_is_parked_not_lost(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, fault: str, notices: str
) -> None:
    """INVARIANT: a handled message has its effect. COMMIT of a failed transaction rolls back and says nothing."""

    async def save(work: UnitOfWork, *_: object) -> None:
        if fault == "cancelled":
            raise asyncio.CancelledError
        with contextlib.suppress(Exception):
            await work.connection.execute("SELECT 1 / 0")

    monkeypatch.setattr("example_service.store.save", save)
    async with stand.running():
        await stand.publish(commands(1, 1))

        async def is_parked() -> bool:
            return [notices in letter["error"] for letter in await parked(stand)] == [True]

        await until(is_parked, why=f"{notices}: {await parked(stand)}")
    assert await stand.value("SELECT count(*) FROM inbox") == 0


def redrive(ids: list[uuid.UUID]) -> DeadLetterRedrive:
    operation = uuid.uuid4()
    data = DeadLetterRedriveData(
        operation_id=operation, actor="user:ann", service="example", dead_letter_ids=tuple(ids), reason="fixed"
    )
    return DeadLetterRedrive.of(
        data, subject="dead_letters:example", source="test", time=datetime.now(UTC), id=operation
    )


def drop(ids: list[uuid.UUID], service: str) -> DeadLetterDrop:
    operation = uuid.uuid4()
    data = DeadLetterDropData(
        operation_id=operation, actor="user:ann", service=service, dead_letter_ids=tuple(ids), reason="not wanted"
    )
    return DeadLetterDrop.of(data, subject="dead_letters:x", source="test", time=datetime.now(UTC), id=operation)
