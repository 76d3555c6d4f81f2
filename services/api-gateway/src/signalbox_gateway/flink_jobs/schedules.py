"""The cron rule a job has by `POST /jobs/{id}/schedule`: a schedule definition of its own."""

from collections.abc import Sequence
from typing import Any

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_gateway.definitions import store
from signalbox_gateway.flink_jobs.document import to_document


def schedule_id(job_id: str) -> str:
    """The id of the schedule that `/schedule` makes."""
    return f"{job_id[:119]}-schedule"


async def document_fields(connection: Connection, saved: Sequence[store.Saved]) -> dict[str, dict[str, Any]]:
    """The document's fields of each job, its cron rule among them."""
    jobs = [job for one in saved if isinstance(job := one.definition, Job)]
    flink = [schedule_id(job.id) for job in jobs if isinstance(job.work, FlinkWork)]
    known = await store.load_readable(connection, "schedule", sorted(flink)) if flink else {}
    schedules = [schedule for one in known.values() if isinstance(schedule := one.definition, Schedule)]
    rules = {schedule.target.id: schedule.cron for schedule in schedules if schedule.target.kind == "job"}
    return {job.id: to_document(job.work, rules.get(job.id)) for job in jobs}
