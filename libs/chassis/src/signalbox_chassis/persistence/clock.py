"""The clock of the database: the one that all processes of a service share."""

from datetime import datetime

from signalbox_chassis.persistence.connection import Connection


async def transaction_time(connection: Connection) -> datetime:
    """When this transaction began."""
    return await connection.fetchval("SELECT now()")


async def present_time(connection: Connection) -> datetime:
    """The present instant, also later in a transaction."""
    return await connection.fetchval("SELECT clock_timestamp()")
