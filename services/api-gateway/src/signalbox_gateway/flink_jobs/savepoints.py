"""Savepoints and JARs of a job's runs, as the executor recorded them in the blob store."""

import asyncio
from typing import Any, Final

from pydantic import ValidationError

from signalbox_chassis.blobs import Blob, BlobMissing, Blobs
from signalbox_contracts.artifacts import (
    FlinkRun,
    FlinkSavepoint,
    Pin,
    flink_run_key,
    pin_number,
    pins_folder,
    savepoints_folder,
)
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.work import FlinkWork
from signalbox_gateway.http.problems import invalid

MAX_LISTED: Final = 200
LATEST: Final = "latest"


async def savepoints(blobs: Blobs, job_id: str) -> list[FlinkSavepoint]:
    """The newest savepoints of a job's runs, newest first."""
    found = sorted(await blobs.list(savepoints_folder(f"job:{job_id}")), key=lambda blob: blob.modified_at)
    texts = await asyncio.gather(*(_read(blobs, blob) for blob in found[-MAX_LISTED:]))
    known = [savepoint for text in texts if (savepoint := _savepoint(text)) is not None]
    return sorted(known, key=lambda savepoint: savepoint.taken_at, reverse=True)


async def pins(blobs: Blobs, job_id: str, version: int) -> list[dict[str, Any]]:
    """Which JARs a job's version was pinned to, the one in force first."""
    found = sorted(await blobs.list(pins_folder(f"jobs/{job_id}/{version}")), key=lambda blob: -pin_number(blob.key))
    texts = await asyncio.gather(*(_read(blobs, blob) for blob in found[:MAX_LISTED]))
    return [Pin.model_validate_json(text).model_dump(mode="json") for text in texts if text is not None]


async def jar_of_run(blobs: Blobs | None, engine: str | None, run_key: str | None) -> dict[str, Any] | None:
    """The JAR a run was given; None where there is no record of it."""
    if blobs is None or not engine or not run_key:
        return None
    try:
        run = FlinkRun.model_validate_json(await blobs.read(flink_run_key(engine, run_key)))
    except (BlobMissing, ValidationError):
        return None
    return {"jar_url": run.jar_url, "jar_sha256": run.jar_sha256, "savepoint_path": run.savepoint_path}


async def latest_savepoint(blobs: Blobs | None, job_id: str) -> str:
    """The path of the newest savepoint. Raises a problem where there is none."""
    found = await savepoints(blobs, job_id) if blobs is not None else []
    if not found:
        raise invalid("from_savepoint", LATEST, f"job {job_id} has no savepoint: name the path of one")
    return found[0].path


def from_savepoint(job: Job, path: str) -> Job:
    """The job as it goes on from a savepoint. Raises a problem for a job that has none."""
    if not isinstance(job.work, FlinkWork):
        raise invalid("from_savepoint", path, f"job {job.id} is {job.work.kind} work: only Flink jobs have savepoints")
    return job.model_copy(update={"work": job.work.model_copy(update={"savepoint_path": path})})


async def _read(blobs: Blobs, blob: Blob) -> bytes | None:
    try:
        return await blobs.read(blob.key)
    except BlobMissing:  # removed since it was listed
        return None


def _savepoint(text: bytes | None) -> FlinkSavepoint | None:
    try:
        return None if text is None else FlinkSavepoint.model_validate_json(text)
    except ValidationError:
        return None
