"""Sends the lines of files to Kafka, in a thread of its own. It waits when too much is not in the ledger yet.

A line is sent as it is: key `<path>:<line>`, the same whenever it is sent again, and the header `connection_ids`.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from signalbox_reprocessor.worker.checkpoints import (
    MAX_SAMPLES,
    SAMPLE_BYTES,
    TOO_LARGE,
    BadLine,
    Batch,
    Checkpoint,
    Progress,
)
from signalbox_reprocessor.worker.events import BadLineFound, Selector, read
from signalbox_reprocessor.worker.lines import CorruptFile, LineCutter, plain
from signalbox_reprocessor.worker.sources import FileChanged, FileUnreadable, Source, SourceFile

log = logging.getLogger(__name__)
BATCH_SECONDS: Final = 1.0
"""A batch is closed after so long, however few lines it has: people watch the ledger."""
LARGE_BYTES: Final = 8192
"""The place of longer lines is kept until the broker took them."""
FLUSH_SECONDS: Final = 30.0
MAX_WORKER_SAMPLES: Final = 200


class Stopped(Exception):
    """The worker is asked to end."""


class LimitReached(Exception):
    """So many events as the job may send are sent."""


@dataclass(frozen=True, kw_only=True)
class PumpOptions:
    """What holds for every file of the worker."""

    topic: str
    batch_size: int
    retry_attempts: int
    max_line_bytes: int
    dry_run: bool = False
    start_path: str | None = None
    start_line: int = 0
    limit: int | None = None
    events_per_second: float | None = None


class Pump:
    """One thread's work. `producer` is confluent-kafka's; None with `dry_run`."""

    def __init__(
        self, producer: Any, source: Source, selector: Selector, progress: Progress, options: PumpOptions
    ) -> None:
        self._producer = producer
        self._source = source
        self._selector = selector
        self._progress = progress
        self._options = options
        self._left = options.limit
        self._paced_at = time.monotonic()
        self._credit = 0.0
        self.samples = 0

    def run(self, files: Sequence[tuple[SourceFile, Checkpoint]]) -> None:
        """Read each of these from its checkpoint on. Raises `Stopped`."""
        for file, checkpoint in files:
            if self._left is not None and self._left <= 0:
                self._progress.close(Batch(), replace(checkpoint, status="skipped"))
                continue
            FilePass(self, file, checkpoint).run()

    def wait_for_ledger(self, open_messages: int) -> None:
        """Wait until no more messages are out than a batch has: so many are repeated at most after a crash."""
        if self._producer is None:
            return
        while self._progress.sent + open_messages - self._progress.durable > self._options.batch_size:
            self.poll(0.002)
            self.check_stop()

    def poll(self, seconds: float) -> None:
        """Let the producer call back, and send what was refused with others again, each alone."""
        if self._producer is None:
            return
        self._producer.poll(seconds)
        for batch in list(self._progress.batches):
            while batch.too_large:
                self._send_alone(batch, batch.too_large.pop())

    def _send_alone(self, batch: Batch, message: Any) -> None:
        self._producer.flush(FLUSH_SECONDS)
        self._producer.produce(
            message.topic(), message.value(), message.key(), on_delivery=batch.delivered_alone,
            headers=message.headers(),
        )  # fmt: skip
        self._producer.flush(FLUSH_SECONDS)

    def check_stop(self) -> None:
        if self._progress.stop.is_set():
            raise Stopped

    def pace(self, sent: int) -> None:
        """Hold to the rate of the job."""
        rate = self._options.events_per_second
        if rate is None:
            return
        now = time.monotonic()
        self._credit = min(rate, self._credit + (now - self._paced_at) * rate) - sent
        self._paced_at = now
        while self._credit < 0:
            self._progress.stop.wait(min(1.0, -self._credit / rate))
            self.check_stop()
            self.poll(0)
            now = time.monotonic()
            self._credit += (now - self._paced_at) * rate
            self._paced_at = now

    @property
    def step(self) -> int:
        """Messages of one batch: two fit into what may be out."""
        return max(1, self._options.batch_size // 2)

    @property
    def producer(self) -> Any:
        return self._producer

    @property
    def source(self) -> Source:
        return self._source

    @property
    def selector(self) -> Selector:
        return self._selector

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def options(self) -> PumpOptions:
        return self._options

    @property
    def left(self) -> int | None:
        """How many events the job may still send."""
        return self._left

    def take(self, sent: int) -> None:
        if self._left is not None:
            self._left -= sent


def too_long(length: int, limit: int) -> str:
    """Why a line is not sent."""
    return f"the line has {length} bytes, {limit} are allowed"


def too_large(error: KafkaException) -> str:
    """Why the producer took no message of this size. Raises any other fault again."""
    fault: Any = error.args[0]
    if fault.code() != KafkaError.MSG_SIZE_TOO_LARGE:
        raise error
    return TOO_LARGE


class FilePass:
    """One file, read from its checkpoint to its end, over as many tries as it takes."""

    def __init__(self, pump: Pump, file: SourceFile, start: Checkpoint) -> None:
        self.pump = pump
        self.file = file
        self.at = replace(start, status="running", error=None)
        self.batch = Batch()
        self.closed_at = time.monotonic()
        self.samples = 0
        self.prefix = f"{file.path}:".encode()
        options = pump.options
        self.first_line = options.start_line if options.start_path == file.path else 0

    def run(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            before = self.at.offset
            try:
                self._read()
            except LimitReached:
                self._end("done")
            except (CorruptFile, FileChanged) as error:
                self._end("failed", str(error))
            except FileUnreadable as error:
                attempt = 1 if self.at.offset > before else attempt
                if attempt < self.pump.options.retry_attempts:
                    log.warning("%s: %s; next try in %d s", self.file.path, error, attempt)
                    self.pump.progress.stop.wait(attempt)
                    self.pump.check_stop()
                    continue
                self._end("failed", str(error))
            else:
                self._end("done")
            return

    def _read(self) -> None:
        """From `self.at` on. What is before it is read again, because gzip knows no other way, and not counted."""
        cutter = LineCutter(self.pump.options.max_line_bytes)
        passed = self.at.offset
        for content in plain(self.pump.source.read(self.file)):
            if passed >= len(content):
                passed -= len(content)
                self.pump.check_stop()
                continue
            self._lines(*cutter.cut(content[passed:] if passed else content))
            passed = 0
        self._lines(*cutter.end(), last=True)

    def _lines(self, length: int, lines: list[bytes], *, last: bool = False) -> None:
        if length:
            line, offset = self.at.line + 1, self.at.offset
            is_skipped = line < self.first_line
            if not is_skipped:
                self._bad(line, offset, too_long(length, self.pump.options.max_line_bytes), b"")
            self.at = replace(
                self.at, line=line, offset=offset + length + (0 if last else 1),
                skipped=self.at.skipped + is_skipped, failed=self.at.failed + (not is_skipped),
            )  # fmt: skip
        start = 0
        while start < len(lines):
            # one run of lines at a time, so that a batch never grows past its size
            room = self.pump.step - self.batch.sent
            start += self._send(lines[start : start + room] if start or room < len(lines) else lines, last=last)
            if self.batch.sent >= self.pump.step or time.monotonic() - self.closed_at > BATCH_SECONDS:
                self._close(self.at)
        self.pump.poll(0)
        self.pump.check_stop()

    def _send(self, lines: list[bytes], *, last: bool) -> int:
        """Send these, or as many as the limit allows; how many were read."""
        pump, at, batch = self.pump, self.at, self.batch
        pump.wait_for_ledger(batch.sent + len(lines))
        number, offset, sent, skipped, failed = at.line, at.offset, 0, 0, 0
        produce = pump.producer.produce if pump.producer is not None else None
        topic, prefix, delivered = pump.options.topic, self.prefix, batch.delivered
        large_bytes, max_bytes = LARGE_BYTES, pump.options.max_line_bytes
        select, first_line, left = pump.selector.headers, self.first_line, pump.left
        created: str | None = None
        read_lines = 0
        for line in lines:
            if left is not None and sent >= left:
                break
            number += 1
            read_lines += 1
            try:
                if number < first_line or not line or line.isspace():
                    skipped += 1
                else:
                    if len(line) > large_bytes:
                        batch.large[number] = offset
                    if len(line) > max_bytes:
                        raise BadLineFound(too_long(len(line), max_bytes))
                    message = read(line)
                    created = message.messageCreated
                    headers = select(message)
                    if headers is None:
                        skipped += 1
                    else:
                        if produce is not None:
                            try:
                                produce(topic, line, prefix + b"%d" % number, on_delivery=delivered, headers=headers)
                            except BufferError:
                                self._produce_later(line, number, headers)
                        sent += 1
            except BadLineFound as bad:
                failed += 1
                self._bad(number, offset, str(bad), line)
            except KafkaException as error:
                failed += 1
                self._bad(number, offset, too_large(error), line)
            offset += len(line) + 1
        if last and read_lines == len(lines) and lines:
            offset -= 1
        batch.sent += sent if produce is not None else 0
        self.at = replace(
            at, line=number, offset=offset, sent=at.sent + sent, skipped=at.skipped + skipped,
            failed=at.failed + failed, read_bytes=pump.source.read_bytes,
            timestamp=created[:64].replace("\0", "\ufffd") if created else at.timestamp,
        )  # fmt: skip
        pump.take(sent)
        pump.pace(sent)
        if read_lines < len(lines) or (pump.left is not None and pump.left <= 0):
            raise LimitReached
        return read_lines

    def _produce_later(self, line: bytes, number: int, headers: Any) -> None:
        """The producer's queue is full: let it send."""
        while True:
            self.pump.poll(0.005)
            self.pump.check_stop()
            try:
                self.pump.producer.produce(
                    self.pump.options.topic, line, self.prefix + b"%d" % number, on_delivery=self.batch.delivered,
                    headers=headers,
                )  # fmt: skip
                return
            except BufferError:
                continue

    def _bad(self, line: int, offset: int, reason: str, text: bytes) -> None:
        if self.samples < MAX_SAMPLES and self.pump.samples < MAX_WORKER_SAMPLES:
            self.samples += 1
            self.pump.samples += 1
            self.batch.bad_lines.append(BadLine(self.file.index, line, offset, reason, text[:SAMPLE_BYTES]))
            log.warning("%s line %d byte %d: %s", self.file.path, line, offset, reason)

    def _close(self, checkpoint: Checkpoint) -> None:
        self.pump.progress.close(self.batch, checkpoint)
        self.batch = Batch()
        self.closed_at = time.monotonic()

    def _end(self, status: str, error: str | None = None) -> None:
        self.at = replace(self.at, status=status, error=error)
        self._close(self.at)
        if error:
            log.error("%s line %d byte %d: %s", self.file.path, self.at.line, self.at.offset, error)
        else:
            log.info(
                "%s %s: %d lines, %d sent, %d skipped, %d failed", self.file.path, status, self.at.line, self.at.sent,
                self.at.skipped, self.at.failed,
            )  # fmt: skip
