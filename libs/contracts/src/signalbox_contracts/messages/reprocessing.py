"""Reprocessing jobs: the commands on `operations.v1`, and the whole state of a job on `states.v1`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from signalbox_contracts.definitions.reprocessing import MAX_WORKERS, ReprocessingConfig
from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.commands import OperationData
from signalbox_contracts.vocabulary import Count, Instant, Name, OpenEnum, Text, Value, Version

FileName = Annotated[str, Field(max_length=2048)]


class ReprocessingStatus(OpenEnum):
    """Where a job or one of its workers is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OTHER = "OTHER"


REPROCESSING_ENDS = frozenset({ReprocessingStatus.COMPLETED, ReprocessingStatus.FAILED, ReprocessingStatus.CANCELLED})
"""A job in one of these never moves again."""


class ReprocessingStartData(OperationData):
    """Find the files of a job and run it. With `retry_of`, only the files that failed in that job."""

    job_id: UUID
    config: ReprocessingConfig
    engine: Name
    engine_kind: Literal["process", "kubernetes"] = "process"
    """Each worker is a process of its own, or all are the indexes of one Indexed Job."""
    definitions_revision: Version
    project: Name = "default"
    retry_of: UUID | None = None


class ReprocessingStart(Event[ReprocessingStartData], frozen=True):
    """Start a job; `operation.result` says how many files and workers it has, or why it cannot run."""

    type: Literal["signalbox.reprocessing.start.v1"] = "signalbox.reprocessing.start.v1"


class ReprocessingCancelData(OperationData):
    """Stop the workers of a job. What they sent stays sent."""

    job_id: UUID


class ReprocessingCancel(Event[ReprocessingCancelData], frozen=True):
    """Cancel a job."""

    type: Literal["signalbox.reprocessing.cancel.v1"] = "signalbox.reprocessing.cancel.v1"


class ReprocessingProgress(Value):
    """Counts of a job or of one worker. `total_lines` read = `success_count` + `skipped_count` + `error_count`."""

    processed_files: Count = 0
    total_lines: Count = 0
    success_count: Count = 0
    error_count: Count = 0
    skipped_count: Count = 0
    total_bytes: Count = 0
    processed_bytes: Count = 0
    current_file: FileName | None = None
    current_line: Count = 0
    current_timestamp: Annotated[str, Field(max_length=64)] | None = None


class ReprocessingWorkerRecord(ReprocessingProgress):
    """One worker."""

    worker_index: Count
    status: ReprocessingStatus
    started_at: Instant | None = None
    updated_at: Instant
    completed_at: Instant | None = None
    assigned_files: Count = 0
    error: Text | None = None


class FailedFile(Value):
    """A file that could not be read to its end, and where it broke."""

    path: FileName
    line: Count
    byte: Count
    error: Text


class BadLine(Value):
    """A line that was not sent, and where it is."""

    path: FileName
    line: Count
    byte: Count
    reason: Text


class BadLineSample(BadLine):
    """A line that was not sent, and how it begins."""

    sample: Annotated[str, Field(max_length=512)] = ""
    """Its first 512 bytes; what is no UTF-8 is shown as U+FFFD. Empty for a line that was too long to be read."""


class ReprocessingRecord(ReprocessingProgress):
    """The whole state of a job."""

    job_id: UUID
    version: Version
    status: ReprocessingStatus
    started_at: Instant | None = None
    completed_at: Instant | None = None
    total_files: Count = 0
    failed_files: Count = 0
    total_workers: Count | None = None
    """None until the files are listed."""
    balanced: bool = True
    """Whether read = sent + skipped + failed holds for every file."""
    error: Text | None = None
    workers: Annotated[tuple[ReprocessingWorkerRecord, ...], Field(max_length=MAX_WORKERS)] = ()
    failures: Annotated[tuple[FailedFile, ...], Field(max_length=20)] = ()
    """The first files that failed."""
    bad_lines: Annotated[tuple[BadLineSample, ...], Field(max_length=20)] = ()
    """The first lines that could not be sent."""


class ReprocessingStated(Event[ReprocessingRecord], frozen=True):
    """What is true of a job now."""

    type: Literal["signalbox.reprocessing.state.v1"] = "signalbox.reprocessing.state.v1"


COMMANDS = (ReprocessingStart, ReprocessingCancel)
