"""Order, age and strangeness of messages: versions decide, the inbox remembers, what is unknown is ignored.

Faults 31 and 46 of the fault list, and the redelivery after midnight.
"""

import json
from datetime import UTC, datetime, timedelta

from example_service.handlers import state
from example_service.messages import COMMANDS, COUNTERS, add
from signalbox_chassis.persistence.partitions import maintain
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.wire import encode
from support.proofs import proves
from support.service_fixture import Stand, commands, until

NOW = datetime.now(UTC)


@proves("F31")
async def test_states_delivered_in_reverse_end_in_the_same_mirror(stand: Stand) -> None:
    """Fault 31. INVARIANT: a fact is applied only if its version is newer than the stored one."""
    forward = [state("a", n, n, n, time=NOW) for n in range(1, 51)]
    backward = [state("b", n, n, n, time=NOW) for n in range(50, 0, -1)]
    async with stand.running(batch_max_messages=7):
        await stand.publish([*forward, *backward], on=COUNTERS)

        async def both_there() -> bool:
            return await stand.value("SELECT count(*) FROM mirror WHERE version = 50") == 2

        await until(both_there)
        await stand.publish([state("end", 1, 1, 1, time=NOW)], on=COUNTERS)
        await until(lambda: mirrored(stand, "end"))
    rows = await stand.rows("SELECT id, total, version FROM mirror WHERE id IN ('a', 'b') ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("a", 50, 50), ("b", 50, 50)]


async def mirrored(stand: Stand, counter: str) -> bool:
    return bool(await stand.value("SELECT EXISTS (SELECT FROM mirror WHERE id = $1)", counter))


async def test_a_redelivery_after_midnight_meets_its_first_row(stand: Stand) -> None:
    """INVARIANT: the inbox's day is the event's own. With the clock's day the second delivery would be a new row."""
    yesterday = add("counter-000", 0, time=NOW - timedelta(days=1))
    long_ago = add("counter-000", 1, time=NOW - timedelta(days=400))
    async with stand.running():
        await stand.publish([yesterday, long_ago])
        await stand.until_entries(2)
        await stand.publish([yesterday, long_ago, add("counter-000", 2, time=NOW)])
        await stand.until_entries(3)
    assert await stand.entries() == {"counter-000": [0, 1, 2]}
    days = await stand.rows("SELECT DISTINCT day FROM inbox WHERE day < current_date - 300")
    assert [row["day"] for row in days] == [long_ago.time.date()], (
        "a day without a partition is kept in the default one"
    )


@proves("F46")
async def test_a_rolling_deploy_old_services_ignore_a_new_field_and_a_new_type(stand: Stand) -> None:
    """Fault 46."""
    event = commands(1, 1)[0].model_dump(mode="json", exclude_none=True)
    newer = {**event, "priority": "high", "data": {**event["data"], "colour": "blue"}}
    unknown = {**event, "id": "x", "type": "signalbox.counter.paint.v1"}
    later = encode(commands(1, 1, first=1)[0], topic=COMMANDS)
    async with stand.running():
        await stand.produce(
            [(b"counter-000", json.dumps(body).encode(), ()) for body in (newer, unknown)]
            + [(later.key, later.value, later.headers)]
        )
        await stand.until_entries(2)
    assert await stand.entries() == {"counter-000": [0, 1]}
    assert await stand.value("SELECT count(*) FROM dead_letter") == 0


class Shifted(Clock):
    """The present, some days from now."""

    def __init__(self, days: int) -> None:
        self.days = days

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self.days)


async def test_partitions_are_made_ahead_and_dropped_when_past_unless_something_is_unsent(stand: Stand) -> None:
    async with stand.running() as service:
        await stand.publish(commands(2, 5))
        await stand.until_entries(10)
        await stand.until_sent()
    database = service.database
    days = {"inbox_days": 14, "outbox_days": 7}
    await maintain(database, Shifted(0), **days)
    assert await stand.value("SELECT count(*) FROM inbox") >= 10
    names = {row["name"] for row in await stand.rows("SELECT inhrelid::regclass::text AS name FROM pg_inherits")}
    assert {f"{table}_{NOW + timedelta(days=2):%Y%m%d}" for table in ("inbox", "outbox")} <= names

    await stand.accept(commands(1, 1, first=77))  # nobody sends it: the service is stopped
    await maintain(database, Shifted(8), **days)
    assert await stand.value("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 1, "unsent rows are never dropped"
    async with stand.database() as connection:
        await connection.execute("UPDATE outbox SET sent_at = now()")
    await maintain(database, Shifted(8), **days)
    assert await stand.value("SELECT count(*) FROM outbox") == 0
    assert await stand.value("SELECT count(*) FROM inbox") >= 10
    await maintain(database, Shifted(16), **days)
    assert await stand.value("SELECT count(*) FROM inbox") >= 10, "an old event handled lately may come again"
    async with stand.database() as connection:
        await connection.execute("UPDATE inbox SET received_at = now() - interval '9 days'")
    await maintain(database, Shifted(16), **days)
    assert await stand.value("SELECT count(*) FROM inbox") == 0
    await database.stop()
