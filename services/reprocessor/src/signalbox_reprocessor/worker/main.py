"""`signalbox-reprocessing-worker CONFIG WORKER_INDEX`: the program of one worker.

CONFIG is the file `config.json` of the job, which only the worker's user can read. The index may come from
`JOB_COMPLETION_INDEX` instead, as Kubernetes gives it to the pods of an Indexed Job.

Exits 0 (all its files are done), 1 (a fault; another try may help), 2 (usage), 3 (it cannot run as things are), 4 (some
files failed), 75 (another copy has replaced it) or 143 (it was stopped).
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from types import MappingProxyType
from typing import Any, Final

import asyncpg
from confluent_kafka import KafkaError, KafkaException, Producer

from signalbox_reprocessor.worker.checkpoints import Progress
from signalbox_reprocessor.worker.events import Selector
from signalbox_reprocessor.worker.ledger import Ledger, Replaced
from signalbox_reprocessor.worker.pump import Pump, PumpOptions, Stopped
from signalbox_reprocessor.worker.sources import Source
from signalbox_reprocessor.worker.streams import RepositoryAway, RepositoryUnusable, fetch_streams

log = logging.getLogger("worker")
OK, FAULT, USAGE, CANNOT_RUN, FILES_FAILED, REPLACED, STOPPED = 0, 1, 2, 3, 4, 75, 143
SAVE_SECONDS: Final = 0.02
"""How often settled batches are looked for."""
ALIVE_SECONDS: Final = 1.5
"""The worker's row is touched this often, also when a file gives no lines."""
LEDGER_SECONDS: Final = 120.0
"""How long the database may be away before the worker gives up."""
LEDGER_RETRY_SECONDS: Final = 0.5
METADATA_SECONDS: Final = 20.0
"""How long the destination may be away at the start."""
AUTHENTICATION_SECONDS: Final = 10.0
"""How long the destination may refuse the credentials: a broker that starts may not know them yet."""
METADATA_RETRY_SECONDS: Final = 5.0
RECENT_SECONDS: Final = 5.0
"""An older refusal says nothing of the broker as it is now."""
STALLED_SECONDS: Final = 5.0
"""After so long without a settled batch, a refusal of the credentials is looked into."""
STOP_SECONDS: Final = 0.1
"""How often a wait for the destination looks whether the worker shall stop."""
RECONNECT: Final[Mapping[str, Any]] = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 2000}
"""So often that a refusal is recent when it counts. It is only for the producer that tries the credentials."""
NETWORK_FAULTS: Final = (
    "broker transport failure", ": disconnected", "timed out", "timeout was reached", "connect to server",
    "resolve host",
)  # fmt: skip
"""librdkafka also calls a lost connection a refusal, if it was lost in the handshake or fetching a token."""
LEDGER_AWAY: Final = (
    OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError,
)  # fmt: skip
"""What the ledger raises while the database does not answer."""
LASTING_TOPIC_ERRORS: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION,
)  # fmt: skip
"""The topic does not exist, is forbidden, or has an impossible name: another try changes nothing."""


class CannotRun(Exception):
    """The worker cannot do its work, and another try changes nothing. The text is the reason."""


class DestinationAway(Exception):
    """The destination does not answer. Another try may help."""


class Refusals:
    """Why the destination refused the credentials, and when. Faults of the network are none."""

    def __init__(self) -> None:
        self.last = ""
        self._number = 0
        self._at = 0.0

    def note(self, error: KafkaError) -> None:
        """The producer's `error_cb`."""
        reason = error.str()
        if error.code() == KafkaError._AUTHENTICATION and not any(fault in reason.lower() for fault in NETWORK_FAULTS):
            self.last = reason
            self._number += 1
            self._at = time.monotonic()

    def clear(self) -> None:
        self._number = 0

    def __bool__(self) -> bool:
        return self._number > 0

    @property
    def are_certain(self) -> bool:
        """Whether it refused more than once, and lately: a broker that starts may not know the credentials yet."""
        return self._number > 1 and time.monotonic() - self._at < RECENT_SECONDS


@dataclass(frozen=True)
class Job:
    """The file `config.json`."""

    values: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.values[name]

    def options(self, sent: int) -> PumpOptions:
        config: Mapping[str, Any] = self.values["config"]
        rate = config.get("max_events_per_second")
        limit = config.get("limit")
        return PumpOptions(
            topic=self.values["topic"],
            batch_size=config.get("batch_size") or self.values["batch_size"],
            retry_attempts=config["retry_attempts"] if config.get("retry_attempts") is not None else 3,
            max_line_bytes=self.values["max_line_bytes"],
            dry_run=bool(config.get("dry_run")),
            start_path=self.values.get("start_path"),
            start_line=config.get("start_line") or 0,
            limit=None if limit is None else max(0, limit - sent),
            events_per_second=rate / max(1, self.values["parallel_workers"]) if rate else None,
        )

    def selector(self) -> Selector:
        """Raises `CannotRun` when the repository is needed and unusable, `RepositoryAway` when it does not answer."""
        config: Mapping[str, Any] = self.values["config"]
        connections = tuple(config.get("connection_ids") or ())
        streams = None
        if not connections:
            repository = self.values.get("repository")
            if not repository:
                raise CannotRun("no connection_ids are given, and no repository is configured")
            try:
                streams = fetch_streams(repository["url"], repository.get("token", ""))
            except RepositoryUnusable as error:
                raise CannotRun(str(error)) from None
            log.info("the repository knows %d streams", len(streams))
        return Selector(
            stream_ids=frozenset(config.get("stream_ids") or ()), connection_ids=connections, streams=streams,
            date_from=_instant(config.get("date_from")), date_to=_instant(config.get("date_to")),
        )  # fmt: skip

    def producer(self, refusals: Refusals, stop: Event) -> Any:
        """A producer that notes in `refusals` when the credentials are refused, now and later.

        Raises `CannotRun` when they are, or the destination has no such topic; `DestinationAway` when it does not
        answer; `Stopped`.
        """
        if self.values["config"].get("dry_run"):
            return None
        try:
            made = self._producer(refusals)
        except KafkaException as error:
            raise CannotRun(f"the properties of the destination: {error.args[0].str()}") from None
        topic: str = self.values["topic"]
        metadata = _load_metadata(made, topic, refusals, stop)
        fault = metadata.topics[topic].error
        if fault is not None:
            reason = f"the destination topic {topic}: {fault.str()}"
            raise CannotRun(reason) if fault.code() in LASTING_TOPIC_ERRORS else DestinationAway(reason)
        return made

    def try_credentials(self, stop: Event) -> None:
        """Connect anew. Raises `CannotRun` only if the credentials are refused; `DestinationAway`; `Stopped`.

        What a broker says of the topic is left out: one that has just started may not know it, or who may use it.
        """
        refusals = Refusals()
        try:
            made = self._producer(refusals, RECONNECT)
        except KafkaException as error:
            raise DestinationAway(f"the properties of the destination: {error.args[0].str()}") from None
        _load_metadata(made, self.values["topic"], refusals, stop)

    def _producer(self, refusals: Refusals, changes: Mapping[str, Any] = MappingProxyType({})) -> Any:
        return Producer({
            "linger.ms": 5, "batch.size": 1 << 20, "compression.type": "lz4", "enable.idempotence": True,
            "message.max.bytes": self.values["max_line_bytes"] + (1 << 20),
            "queue.buffering.max.messages": 200_000, "queue.buffering.max.kbytes": 65_536,
            "message.timeout.ms": 300_000, **self.values["kafka"], **changes, "error_cb": refusals.note,
        })  # fmt: skip


def _load_metadata(producer: Any, topic: str, refusals: Refusals, stop: Event) -> Any:
    """What the destination knows of the topic. The producer notes in `refusals`."""
    now = time.monotonic()
    until, until_refused = now + METADATA_SECONDS, now + AUTHENTICATION_SECONDS
    seconds = METADATA_RETRY_SECONDS
    while True:
        answer = _list_topics(producer, topic, min(seconds, METADATA_SECONDS))
        reason: str | None = None
        while reason is None:
            if futures.wait([answer], STOP_SECONDS).done:
                try:
                    return answer.result()
                except KafkaException as error:
                    reason = error.args[0].str()
            producer.poll(0)  # runs the callbacks of what happened meanwhile
            if stop.is_set():
                raise Stopped
            if refusals.are_certain and time.monotonic() >= until_refused:
                raise CannotRun(f"the destination refuses the credentials: {refusals.last}")
        now = time.monotonic()
        if now >= until:
            raise DestinationAway(f"the destination does not answer: {reason}")
        # a slow broker gets all of the time
        seconds = min(METADATA_RETRY_SECONDS, until - now) if refusals else until - now


def _list_topics(producer: Any, topic: str, seconds: float) -> futures.Future[Any]:
    """In a thread of its own, which nobody waits for: the call cannot be stopped."""
    answer: futures.Future[Any] = futures.Future()

    def ask() -> None:
        try:
            answer.set_result(producer.list_topics(topic, timeout=seconds))
        except Exception as error:
            answer.set_exception(error)

    Thread(target=ask, name="metadata", daemon=True).start()
    return answer


class Worker:
    """Sends in a thread; makes checkpoints durable here."""

    def __init__(self, job: Job, index: int) -> None:
        values = job.values
        self.job = job
        self.ledger = Ledger(values["database_url"], values["schema"], values["token"], values["job_id"], index)
        self.progress = Progress()
        self._saved_at = 0.0
        self._settled_at = 0.0
        self._refusals = Refusals()
        self._check: asyncio.Task[None] | None = None
        self._away_since: float | None = None

    async def run(self) -> int:
        if not await self._claim():
            log.info("nothing is left to do")
            return OK
        try:
            return await self._work()
        except CannotRun as error:
            log.error("%s", error)
            await self.ledger.end("failed", str(error))
            return CANNOT_RUN
        except (DestinationAway, RepositoryAway) as error:
            log.error("%s", error)
            await self.ledger.end("failed", str(error))
            return FAULT

    async def _claim(self) -> bool:
        """Claim the worker's row, also if the database is away at first. Raises `Stopped`."""
        until = time.monotonic() + LEDGER_SECONDS
        while True:
            try:
                return await self.ledger.claim()
            except LEDGER_AWAY as error:
                if time.monotonic() > until:
                    raise
                log.warning("the ledger is away: %s", error)
            if self.progress.stop.is_set():
                raise Stopped
            await asyncio.sleep(LEDGER_RETRY_SECONDS)

    async def _work(self) -> int:
        files = await self.ledger.files()
        log.info("%d files to read, from their checkpoints on", len(files))
        selector = await asyncio.to_thread(self.job.selector)
        producer = await asyncio.to_thread(self.job.producer, self._refusals, self.progress.stop)
        self._refusals.clear()
        options = self.job.options(self.ledger.sent)
        pump = Pump(producer, Source(self.job.values.get("s3") or {}), selector, self.progress, options)
        sending = asyncio.create_task(asyncio.to_thread(self._send, pump, files, producer))
        try:
            while not sending.done() or self.progress.batches:
                await self._save()
                if sending.done() and sending.exception() is not None:
                    break
                self._check_credentials()
                await asyncio.sleep(SAVE_SECONDS)
        finally:
            self.progress.stop.set()
            await asyncio.wait({sending})
            if self._check is not None:
                await asyncio.gather(self._check, return_exceptions=True)
        sending.result()
        failed = self.ledger.failed_files
        if failed:
            words = f"{len(failed)} of its files failed: {', '.join(failed[:3])}"
            await self.ledger.end("failed", words)
            return FILES_FAILED
        await self.ledger.end("completed", None)
        return OK

    def _send(self, pump: Pump, files: Any, producer: Any) -> None:
        pump.run(files)
        while producer is not None and any(not batch.settled for batch in list(self.progress.batches)):
            pump.poll(0.05)
            pump.check_stop()

    def _check_credentials(self) -> None:
        """If the destination has refused them and takes nothing, try them again, beside. Raises `CannotRun`.

        The refusals alone prove nothing, because a broker that restarts may not know them yet, and another may take
        them. The producer alone would wait for minutes.
        """
        is_stalled = time.monotonic() - self._settled_at >= STALLED_SECONDS
        if self._check is None:
            if self._refusals and is_stalled:
                log.warning("the destination refuses the credentials: %s", self._refusals.last)
                self._check = asyncio.create_task(asyncio.to_thread(self.job.try_credentials, self.progress.stop))
            return
        if not self._check.done():
            return
        check, self._check = self._check, None
        self._refusals.clear()
        try:
            check.result()
        except Stopped:
            return  # what was taken until then is still to be saved
        except (DestinationAway, CannotRun) as error:
            if isinstance(error, CannotRun) and is_stalled:
                raise
            log.warning("%s", error)

    async def _save(self) -> None:
        fault = self.progress.fault()
        if fault is not None:
            raise ConnectionError(f"the destination did not take a message: {fault}")
        batches = self.progress.settled()
        now = time.monotonic()
        if batches:
            self._settled_at = now
        if not batches and now - self._saved_at < ALIVE_SECONDS:
            return
        checkpoints = [self.progress.corrected(batch) for batch in batches]
        bad_lines = [bad for batch in batches for bad in batch.bad_lines]
        try:
            await self.ledger.save(checkpoints, bad_lines)
        except LEDGER_AWAY as error:
            self._away_since = self._away_since or now
            if now - self._away_since > LEDGER_SECONDS:
                raise
            log.warning("the ledger is away: %s", error)
            await asyncio.sleep(LEDGER_RETRY_SECONDS)
            return
        self._away_since, self._saved_at = None, now
        self.progress.drop(batches)


def main() -> None:
    """Run one worker."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )  # fmt: skip
    logging.Formatter.converter = time.gmtime
    words = sys.argv[1:]
    index = words[1] if len(words) > 1 else os.environ.get("JOB_COMPLETION_INDEX", "")
    if not words or not index.isdigit():
        print(__doc__, file=sys.stderr)
        sys.exit(USAGE)
    try:
        job = Job(json.loads(Path(words[0]).read_text()))
    except (OSError, ValueError) as error:
        log.error("%s cannot be read: %s", words[0], error)
        sys.exit(CANNOT_RUN)
    code = asyncio.run(_run(job, int(index)))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # the producer would wait for what it still holds, which is not in the ledger


async def _run(job: Job, index: int) -> int:
    worker = Worker(job, index)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        worker.progress.stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        return await worker.run()
    except Stopped:
        log.warning("stopped")
        return STOPPED if stopped else FAULT
    except Replaced:
        log.error("another copy of this worker runs, or the job is over")
        return REPLACED
    except Exception as error:
        log.exception("it cannot go on")
        await _last_words(worker, f"{type(error).__name__}: {error}")
        return FAULT


async def _last_words(worker: Worker, words: str) -> None:
    try:
        async with asyncio.timeout(5):
            await worker.ledger.end("failed", words)
    except Exception as error:
        log.warning("the ledger does not know: %s", error)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


if __name__ == "__main__":
    main()
