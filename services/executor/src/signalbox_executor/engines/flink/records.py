"""What was submitted under a run key, kept in the blob store before Flink is called.

INVARIANT a run is sent to one incarnation of a JobManager only: who sends it again after a restart finds the record of
the first send and does not, for the first may have run. Flink without high availability forgets its job ids.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, TypeAdapter

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


class SealedRun(Value):
    """Stands in the place of a run's record: nothing was sent under this key, and nothing ever will be."""

    sealed: Literal[True] = True
    reason: str
    written_at: datetime


_RECORD: Final[TypeAdapter[FlinkRun | SealedRun]] = TypeAdapter(FlinkRun | SealedRun)


class RunRecords:
    """The records of one engine's runs."""

    def __init__(self, blobs: Blobs, engine_id: str) -> None:
        self._blobs = blobs
        self._engine_id = engine_id

    async def load(self, run_key: str) -> FlinkRun | None:
        """The record of a run; None if it was never sent."""
        record = await self.load_any(run_key)
        return record if isinstance(record, FlinkRun) else None

    async def load_any(self, run_key: str) -> FlinkRun | SealedRun | None:
        """The record of a run, or that its key is sealed; None for a key that is free."""
        try:
            content = await self._blobs.read(flink_run_key(self._engine_id, run_key))
        except BlobMissing:
            return None
        return _RECORD.validate_json(content)

    async def create(self, run: FlinkRun) -> bool:
        """Write the first record of a run; False if there is one, or the key is sealed."""
        return await self._write_first(run.run_key, run)

    async def seal(self, run_key: str, reason: str, at: datetime) -> bool:
        """Seal a key under which nothing was sent: no copy of its submit sends anything from now on.

        False if a copy wrote its record before: that one may have been sent.
        """
        if await self._write_first(run_key, SealedRun(reason=reason, written_at=at)):
            return True
        return isinstance(await self.load_any(run_key), SealedRun)

    async def _write_first(self, run_key: str, record: Value) -> bool:
        try:
            await self._blobs.write(flink_run_key(self._engine_id, run_key), record.model_dump_json().encode())
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
