"""Operations that nobody answers are sent again, each in its turn: old ones never displace newer ones."""

from typing import Any, cast

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_gateway.recovery.resend import Resender
from support.read_model import read_model

ANSWER_SECONDS = 3.0
SILENT = 200
_OPERATIONS = """
INSERT INTO operation (id, operation, target, actor, requested_at)
SELECT gen_random_uuid(), 'engine.test', $1, 'user:ann', now() - $3 * interval '1 minute' FROM generate_series(1, $2)
"""
_OUTBOX = """
INSERT INTO outbox (day, topic, key, headers, created_at, sent_at)
SELECT (requested_at AT TIME ZONE 'UTC')::date, 'operations.v1', convert_to(target, 'UTF8'), '', requested_at, now()
FROM operation
"""
_RESENT = "SELECT count(*) FROM outbox WHERE key = convert_to($1, 'UTF8') AND sent_at IS NULL"


async def test_many_unanswered_operations_do_not_displace_a_newer_one(postgres_url: str, kafka_bootstrap: str) -> None:
    """Without it the operations of one engine that does not answer keep those of every other engine for an hour."""
    async with read_model(postgres_url, kafka_bootstrap) as model, model.connection() as connection:
        await connection.execute(_OPERATIONS, "engine:silent", SILENT, 50)
        await connection.execute(_OPERATIONS, "engine:newer", 1, 20)
        await connection.execute(_OUTBOX)
        database = Database(model.url, schema=model.schema, pool_size=1)
        resender = Resender(database, SystemClock(), cast("Any", None), model.prefix, ANSWER_SECONDS)
        try:
            assert await resender.requests(), "more operations are due than one transaction resends"
            assert await connection.fetchval(_RESENT, "engine:silent") == SILENT
            assert not await resender.requests()
            assert await connection.fetchval(_RESENT, "engine:newer") == 1
            await connection.execute("UPDATE outbox SET sent_at = now()")
            assert not await resender.requests()
            assert await connection.fetchval(_RESENT, "engine:silent") == 0, "the next time is later"
        finally:
            await database.stop()
