"""Checkpoints: a place in a file moves only when the broker has acknowledged everything before it.

Lines are sent in batches. A batch is open while lines are added, closed at its checkpoint, and settled when each of its
messages was acknowledged or refused. Checkpoints become durable in order.
"""

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

SAMPLE_BYTES: Final = 512
"""Of a bad line, what is kept."""
MAX_SAMPLES: Final = 20
"""Bad lines of one file whose place is kept."""
TOO_LARGE: Final = "larger than a message may be"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place in a file and the counts up to it."""

    file_index: int
    line: int = 0
    offset: int = 0
    """Bytes of the uncompressed content."""
    read_bytes: int = 0
    """Bytes read of the file as it is stored."""
    sent: int = 0
    skipped: int = 0
    failed: int = 0
    status: str = "running"
    error: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not sent."""

    file_index: int
    line: int
    offset: int
    reason: str
    sample: bytes


class Batch:
    """Messages between two checkpoints. `delivered` is the producer's callback."""

    __slots__ = (
        "acknowledged",
        "bad_lines",
        "checkpoint",
        "corrected",
        "fault",
        "large",
        "refused",
        "sent",
        "too_large",
    )

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.refused = 0
        self.too_large: list[Any] = []
        """Messages that the broker refused together with others: each is to be sent again alone."""
        self.large: dict[int, int] = {}
        """Line → byte of lines that a broker may refuse."""
        self.fault: str | None = None
        self.checkpoint: Checkpoint | None = None
        self.corrected: Checkpoint | None = None
        self.bad_lines: list[BadLine] = []

    def delivered(self, error: Any, message: Any) -> None:
        """Count an acknowledgement. A producer's batch that is too large is refused with the good messages in it."""
        if error is None:
            self.acknowledged += 1
        elif error.name() == "MSG_SIZE_TOO_LARGE":
            self.too_large.append(message)
        else:
            self.fault = error.str()

    def delivered_alone(self, error: Any, message: Any) -> None:
        """Count the answer to a message that was sent alone: now a size is a fault of the line itself."""
        if error is None or error.name() != "MSG_SIZE_TOO_LARGE":
            self.delivered(error, message)
            return
        self.refused += 1
        line = int(message.key().rpartition(b":")[2])
        checkpoint = self.checkpoint
        if checkpoint is not None and len(self.bad_lines) < MAX_SAMPLES:
            sample = (message.value() or b"")[:SAMPLE_BYTES]
            self.bad_lines.append(
                BadLine(checkpoint.file_index, line, self.large.get(line, 0), TOO_LARGE, sample)
            )  # fmt: skip

    @property
    def settled(self) -> bool:
        return self.checkpoint is not None and self.acknowledged + self.refused == self.sent


@dataclass
class Progress:
    """What the sending thread and the ledger share."""

    batches: deque[Batch] = field(default_factory=deque[Batch])
    sent: int = 0
    """Messages of closed batches."""
    durable: int = 0
    """Of these, those before the last durable checkpoint."""
    stop: threading.Event = field(default_factory=threading.Event)
    _refused: dict[int, int] = field(default_factory=dict[int, int])

    def close(self, batch: Batch, checkpoint: Checkpoint) -> None:
        batch.checkpoint = checkpoint
        self.sent += batch.sent
        self.batches.append(batch)

    def settled(self, limit: int = 1000) -> list[Batch]:
        """The batches at the front that are settled. They stay until `drop`."""
        found: list[Batch] = []
        for batch in list(self.batches)[:limit]:
            if not batch.settled:
                break
            found.append(batch)
        return found

    def drop(self, batches: list[Batch]) -> None:
        """These are durable."""
        for batch in batches:
            assert self.batches.popleft() is batch
            self.durable += batch.sent

    def fault(self) -> str | None:
        """Why a message could not be delivered, if one could not."""
        return next((batch.fault for batch in list(self.batches) if batch.fault), None)

    def corrected(self, batch: Batch) -> Checkpoint:
        """The checkpoint with what the broker refused counted as failed, now and before in this file."""
        if batch.corrected is None:
            checkpoint = batch.checkpoint
            assert checkpoint is not None
            refused = self._refused.get(checkpoint.file_index, 0) + batch.refused
            self._refused[checkpoint.file_index] = refused
            batch.corrected = replace(checkpoint, sent=checkpoint.sent - refused, failed=checkpoint.failed + refused)
        return batch.corrected
