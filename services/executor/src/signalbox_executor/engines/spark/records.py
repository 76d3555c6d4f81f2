"""What the executor keeps of Spark runs in the blob store, beside the claims of the start fence.

INVARIANT without the fence a driver is sent at most once for a key: only who wrote the record sends.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Final, TypeVar

from pydantic import Field, ValidationError

from signalbox_chassis.blobs import BlobExists, BlobMissing, Blobs, BlobStoreFailed
from signalbox_chassis.start_fence import StartUnreadable
from signalbox_contracts.vocabulary import Instant, Value
from signalbox_executor.engines.port import EngineUnavailable, bounded
from signalbox_executor.engines.spark.outcomes import Outcome

_V = TypeVar("_V", bound=Value)
FOLDER: Final = "spark"
MAX_CACHED: Final = 20_000


@contextmanager
def blob_errors(engine: str) -> Generator[None]:
    """Raise `EngineUnavailable` where the blob store fails, or holds what cannot be read."""
    try:
        yield
    except (BlobStoreFailed, BlobMissing) as error:
        raise EngineUnavailable(engine, bounded(f"the blob store fails: {error}")) from error
    except ValidationError as error:
        reason = f"a record in the blob store cannot be read: {error.errors()[:1]}"
        raise EngineUnavailable(engine, bounded(reason)) from error
    except StartUnreadable as error:
        raise EngineUnavailable(engine, bounded(str(error))) from error


class Witness(Value):
    """A batch that Livy held before a run was sent: while it still does, it did not restart."""

    id: int
    name: Annotated[str, Field(max_length=4096)]


class RunRecord(Value):
    """A run that is about to be sent for the first time."""

    run_key: Annotated[str, Field(max_length=63)]
    sent_at: Instant
    fenced: bool
    allow_failed_jobs: bool = False
    sealed: bool = False
    """Nothing was sent under this key, and nothing ever will be (Livy)."""
    witness: Witness | None = None


class StopRecord(Value):
    """That the end of a run was asked for."""

    requested_at: Instant


class RunRecords:
    """The records of one engine's runs."""

    def __init__(self, blobs: Blobs, engine_id: str) -> None:
        self._blobs = blobs
        self._folder = f"{FOLDER}/{engine_id}"
        self._outcomes: dict[str, Outcome] = {}

    async def create(self, record: RunRecord) -> bool:
        """Write the record of a run; False if there is one."""
        try:
            await self._blobs.write(self._key("runs", record.run_key), record.model_dump_json().encode())
        except BlobExists:
            return False
        return True

    async def load(self, run_key: str) -> RunRecord | None:
        return await self._read(self._key("runs", run_key), RunRecord)

    async def forget(self, run_key: str) -> None:
        """Remove the record of a run that surely was not sent."""
        await self._blobs.delete(self._key("runs", run_key))

    async def note_stop(self, run_key: str, at: datetime) -> None:
        """Keep that a stop is asked for, before it is."""
        record = StopRecord(requested_at=at)
        await self._blobs.write(self._key("stops", run_key), record.model_dump_json().encode(), replace=True)

    async def stop(self, run_key: str) -> StopRecord | None:
        return await self._read(self._key("stops", run_key), StopRecord)

    async def outcome(self, run_key: str) -> Outcome | None:
        """The end of a run, as it was first seen."""
        known = self._outcomes.get(run_key)
        if known is None:
            known = await self._read(self._key("ends", run_key), Outcome)
            if known is not None:
                self._remember(run_key, known)
        return known

    async def settle(self, run_key: str, outcome: Outcome) -> Outcome:
        """Keep the end of a run; the one that was kept first counts."""
        try:
            await self._blobs.write(self._key("ends", run_key), outcome.model_dump_json().encode())
        except BlobExists:
            return await self.outcome(run_key) or outcome
        self._remember(run_key, outcome)
        return outcome

    def _remember(self, run_key: str, outcome: Outcome) -> None:
        if len(self._outcomes) >= MAX_CACHED:
            self._outcomes.clear()
        self._outcomes[run_key] = outcome

    def log_key(self, run_key: str) -> str:
        return self._key("logs", run_key)

    async def _read(self, key: str, kind: type[_V]) -> _V | None:
        try:
            return kind.model_validate_json(await self._blobs.read(key))
        except BlobMissing:
            return None

    def _key(self, folder: str, run_key: str) -> str:
        return f"{self._folder}/{folder}/{run_key}.json"
