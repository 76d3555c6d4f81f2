"""What processes of services publish of themselves: what keeps failing in them, and what they had to restate."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.states import ServiceRecord

REPORT_SECONDS: Final = 120.0
"""A process publishes its troubles every 30 s: one that published nothing for so long is gone."""
_WRITE: Final = """
INSERT INTO service_state AS s (service, instance, version, record) VALUES ($1, $2, $3, $4)
ON CONFLICT (service, instance) DO UPDATE
SET version = checked_version(s.version, excluded.version), record = excluded.record, reported_at = now()
WHERE s.version < excluded.version
"""
_FORGET: Final = "DELETE FROM service_state WHERE reported_at < now() - interval '1 day'"
_REPORTED: Final = """
SELECT service, instance, record, reported_at, reported_at > now() - make_interval(secs => $1) AS fresh
FROM service_state ORDER BY service, instance LIMIT 1000
"""


async def write(connection: Connection, records: Iterable[ServiceRecord]) -> None:
    """Keep what is newer."""
    for record in records:
        await connection.execute(_WRITE, record.service, record.instance, record.version, record.model_dump_json())
    await connection.execute(_FORGET)


async def health(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """What keeps failing now (`troubles`), and of whom readers had versions that were never published (`restated`)."""
    troubles: list[dict[str, Any]] = []
    restated: list[dict[str, Any]] = []
    for row in await connection.fetch(_REPORTED, REPORT_SECONDS):
        record = from_json(row["record"])
        at = row["reported_at"].isoformat().replace("+00:00", "Z")
        who = {"service": row["service"], "instance": row["instance"], "at": at}
        troubles += [{**who, **trouble} for trouble in record["troubles"] if row["fresh"]]
        if record["restated"]:
            restated.append({**who, "times": record["restated"], "last": record["last_restated"]})
    return {"troubles": troubles, "restated": restated}
