"""What was submitted under a run key, kept in the blob store before Flink is called.

INVARIANT a run is sent to one incarnation of a JobManager only: who sends it again after a restart finds the record of
the first send and does not, for the first may have run. Flink without high availability forgets its job ids.
"""

from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import Field

from signalbox_chassis.blobs import BlobExists, BlobMissing, Blobs
from signalbox_contracts.artifacts import FlinkRun, FlinkSavepoint, flink_run_key, savepoints_folder
from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.flink.answers import JobId

_V = TypeVar("_V", bound=Value)


class StopRecord(Value):
    """How a stop was asked for last: with the savepoint `trigger_id`, or with none.

    `number` grows when a savepoint failed.
    """

    trigger_id: JobId | None = None
    number: Annotated[int, Field(ge=1, lt=2**31)] = 1
    requested_at: datetime


class RunRecords:
    """The records of one engine's runs."""

    def __init__(self, blobs: Blobs, engine_id: str) -> None:
        self._blobs = blobs
        self._engine_id = engine_id

    async def load(self, run_key: str) -> FlinkRun | None:
        """The record of a run; None if it was never sent."""
        return await self._read(flink_run_key(self._engine_id, run_key), FlinkRun)

    async def create(self, run: FlinkRun) -> bool:
        """Write the first record of a run; False if there is one."""
        try:
            await self._blobs.write(flink_run_key(self._engine_id, run.run_key), run.model_dump_json().encode())
        except BlobExists:
            return False
        return True

    async def forget(self, run_key: str) -> None:
        """Remove the record of a run that surely was not sent."""
        await self._blobs.delete(flink_run_key(self._engine_id, run_key))

    async def load_stop(self, run_key: str) -> StopRecord | None:
        return await self._read(self._stop(run_key), StopRecord)

    async def save_stop(self, run_key: str, stop: StopRecord) -> None:
        await self._blobs.write(self._stop(run_key), stop.model_dump_json().encode(), replace=True)

    async def add_savepoint(self, run: FlinkRun, savepoint: FlinkSavepoint, trigger_id: str) -> None:
        """List a savepoint with those of its definition. The same trigger again changes nothing."""
        if run.target is None:
            return
        key = f"{savepoints_folder(run.target)}/{run.run_key}-{trigger_id}.json"
        try:
            await self._blobs.write(key, savepoint.model_dump_json().encode())
        except BlobExists:
            return

    async def _read(self, key: str, kind: type[_V]) -> _V | None:
        try:
            return kind.model_validate_json(await self._blobs.read(key))
        except BlobMissing:
            return None

    def _stop(self, run_key: str) -> str:
        return f"flink/{self._engine_id}/stops/{run_key}.json"
