"""What a reprocessing job is asked to do: which files of events, which of their lines, how fast."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from signalbox_contracts.definitions.selection import EventFiles

FILES_PER_WORKER: Final = 10
MAX_WORKERS: Final = 50
MAX_FILES: Final = 100_000
"""Files of one job."""
DEFAULT_BATCH_SIZE: Final = 1000


class ReprocessingConfig(EventFiles):
    """The request of a job, as in the reprocessing API."""

    max_events_per_second: Annotated[float, Field(ge=0.001, le=10_000_000, allow_inf_nan=False)] | None = None
    """Of the whole job. None: as fast as it goes."""

    @model_validator(mode="after")
    def _ranges_in_order(self) -> Self:
        if self.date_from and self.date_to and self.date_to < self.date_from:
            raise ValueError("date_to: must not be before date_from")
        if self.start_line is not None and self.start_file is None:
            raise ValueError("start_line: needs start_file, the file that the line is of")
        if any("," in name for name in self.connection_ids):
            raise ValueError("connection_ids: a comma is not allowed in an id: the header joins them by commas")
        return self


def count_workers(files: int, *, limited: bool) -> int:
    """One worker for ten files, at most fifty. A job with a limit has one: only then the limit is exact."""
    if limited:
        return 1
    return max(1, min(MAX_WORKERS, -(-files // FILES_PER_WORKER)))
