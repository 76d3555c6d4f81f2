"""A service process: parts started in order, stopped in reverse within a bound, ended by SIGTERM.

The order is the promise: probes first, so that waiting is visible; then the database; definitions to their end; the
relay; after a restore, what came since; what goes on by itself; the subscribers; and last the service's own parts and
loops.
"""

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

import uvloop
from aiokafka import TopicPartition
from prometheus_client import Gauge

from signalbox_chassis.messaging.bus import Bus, BusSettings, Subscription
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_chassis.messaging.dead_letters import DeadLetters
from signalbox_chassis.messaging.definitions_feed import DefinitionsFeed
from signalbox_chassis.messaging.relay import Relay, RelaySettings
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.messaging.settle import Settler
from signalbox_chassis.messaging.topics import require_topics
from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.observability import logs
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence import partitions
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.persistence.restore_detection import HEARTBEAT_SECONDS, AfterRestore, RestoreDetector
from signalbox_chassis.runtime.backoff import backoff
from signalbox_chassis.runtime.clock import Clock, SystemClock
from signalbox_chassis.runtime.health import Health
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.probes import Probes
from signalbox_chassis.runtime.tasks import cancel
from signalbox_chassis.runtime.test_signals import signals
from signalbox_chassis.runtime.watchdog import Watchdog, end_process
from signalbox_chassis.security.environment import forget_secrets
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.topics import Topic, topic

log = logging.getLogger(__name__)
FROZEN_SECONDS = 10.0
"""As long as PostgreSQL lets a transaction be idle: a process that stopped holds up the others for no longer."""
_UP = Gauge("signalbox_service_started", "1 while every part runs", ["service"])


@runtime_checkable
class ReportsTrouble(Protocol):
    """A part that knows whether what it does keeps failing."""

    @property
    def troubles(self) -> Mapping[str, str]:
        """What keeps failing, by name, with its reason; empty while all goes well."""
        ...


class Part(Protocol):
    """Something that starts and stops. `stop` may be called twice, or without a start."""

    def start(self) -> Awaitable[None]: ...
    def stop(self) -> Awaitable[None]: ...


async def _nothing() -> None:
    pass


def _named(loops: Sequence[Loop]) -> list[tuple[str, Part]]:
    return [(loop.name, loop) for loop in loops]


@dataclass(frozen=True)
class Step:
    """A part that is no object of its own."""

    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]] = _nothing


@dataclass
class Service:
    """Everything a service consists of. `subscriptions`, `definitions` and `loops` are the service's own part."""

    name: str
    settings: ServiceSettings
    subscriptions: Sequence[Subscription] = ()
    sends: Sequence[Topic] = ()
    """Topics this service writes to, besides parked messages and results of operations."""
    definitions: Router | None = None
    loops: Sequence[Loop] = ()
    parts: Sequence[tuple[str, Part]] = ()
    """Anything else, started after the subscribers and before the loops."""
    early: Sequence[tuple[str, Part]] = ()
    """What goes on with the work under way before the subscribers read. After a kill Kafka gives our partitions back
    only when the dead member's session is over; what is new waits for that, as a cancel of it may lie there."""
    after_restore: AfterRestore | None = None
    """What a service with versions of its own does when its database was restored to a moment ago."""
    clock: Clock = field(default_factory=SystemClock)
    definitions_topic: Topic = field(default_factory=lambda: topic("definitions.v1"))

    def __post_init__(self) -> None:
        settings = self.settings
        self.telemetry = Telemetry(self.name, otlp_endpoint=settings.otlp_endpoint, ratio=settings.trace_ratio)
        self.database = Database(
            settings.database_url.get_secret_value(),
            schema=settings.database_schema or self.name.replace("-", "_"),
            pool_size=settings.database_pool_size,
            application=self.name,
        )
        self.dead_letters = DeadLetters(self.name, self.database, self.clock)
        self.health = Health(self.name, self.database, self.clock)
        self.health.troubles = self.troubles
        self.relay = Relay(
            self.database,
            RelaySettings(settings.kafka, settings.topic_prefix, settings.relay_batch, settings.relay_poll_seconds),
            self.telemetry,
        )
        self._settlers: dict[str, Settler] = {s.name: self._settler(s.router) for s in self.subscriptions}
        self.bus = Bus(self._bus_settings(), [(s, self._settlers[s.name]) for s in self.subscriptions])
        self.feed = self._feed()
        self.restore_detector = self._restore_detection_part()
        for subscription in self.subscriptions:
            self.dead_letters.sources |= {t.name: (t, subscription.router) for t in subscription.topics}
        self.probes = Probes(
            settings.http_host,
            settings.http_port,
            {
                "started": self._is_started,
                "database": self._database_answers,
                "kafka": self._is_assigned,
                "outbox": self._outbox_moves,
                "loops": self._loops_succeed,
            },
        )
        self._stopping = asyncio.Event()
        self._running: list[tuple[str, Part]] = []
        self._started = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. This is a service's `main`."""
        logs.configure(self.name, self.settings.log_level)
        for secret in self.settings.secrets():
            logs.hide(secret)
        forget_secrets(self.settings.secrets())
        try:
            uvloop.run(self.serve())
        except Exception as error:
            # the kind last: `InvalidPasswordError: …` would be hidden as a password
            log.critical("%s ends: %s (%s)", self.name, error, type(error).__name__)
            sys.exit(1)

    async def serve(self) -> None:
        """Start every part, wait for the signal to stop, stop every part."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask_to_stop)
        try:
            await self.start()
            await self._stopping.wait()
        finally:
            await self.stop()

    def ask_to_stop(self) -> None:
        """Begin an orderly stop. Asking again changes nothing: the stop is bounded anyway."""
        self._stopping.set()

    async def start(self) -> None:
        """Start the parts in order, waiting for a database or a broker that is not there yet."""
        try:
            for name, part in self._parts():
                self._running.append((name, part))
                if not await self._start_part(name, part):
                    return
        except BaseException:
            await self.stop()
            raise
        self._started = True
        gc.freeze()  # what start-up made stays: batches of messages need not be collected around it
        gc.set_threshold(20_000, 20, 50)
        _UP.labels(self.name).set(1)
        log.info("%s started", self.name)
        signals.fire("service.started")

    async def stop(self) -> None:
        """Stop in reverse order, in `drain_seconds` altogether; a part that hangs is cut off, the others still stop."""
        _UP.labels(self.name).set(0)
        self._started = False
        self._stopping.set()
        end_at = time.monotonic() + self.settings.drain_seconds
        while self._running:
            name, part = self._running.pop()
            # one that hangs must not cost the others their stop: each has half of what is left, 0.2 s at least
            left = max(0.2, (end_at - time.monotonic()) / (2 if self._running else 1))
            try:
                async with asyncio.timeout(left):
                    await part.stop()
            except TimeoutError:
                log.warning("%s not stopped within %.1f s: cut off", name, left)
            except Exception:
                log.exception("stop of %s failed", name)
        await asyncio.to_thread(self.telemetry.stop)
        log.info("%s stopped", self.name)

    async def _start_part(self, name: str, part: Part) -> bool:
        """Start one part, again and again while the fault is a passing one; False when asked to stop meanwhile."""
        failures = 0
        while not self._stopping.is_set():
            try:
                return await self._unless_stopping(part.start())
            except Exception as error:
                if classify(error) in (Failure.LASTING, Failure.REFUSED):
                    raise
                log.warning("%s waits for %s: %r", self.name, name, error)
            failures += 1
            await self._unless_stopping(asyncio.sleep(backoff(failures, first_seconds=0.1, max_seconds=5.0)))
        return False

    async def _unless_stopping(self, work: Awaitable[None]) -> bool:
        """Do this, or drop it half done and return False when asked to stop meanwhile."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return False
            await working
            return True
        finally:
            await cancel(working, stopping)

    def _parts(self) -> list[tuple[str, Part]]:
        fixed: list[tuple[str, Part]] = [
            ("probes", self.probes),
            ("database", self.database),
            ("frozen", Loop("frozen", self._end_frozen, 5.0)),  # early: a frozen session may hold up what follows
            ("partitions", Step(self._maintain)),
            ("topics", Step(self._check_topics)),
        ]
        if self.restore_detector is not None:
            fixed.append(("restore detection", self.restore_detector))
        if self.feed is not None:
            fixed.append(("definitions", self.feed))
        fixed.append(("relay", self.relay))
        fixed += _named(self._guards())
        if self.restore_detector is not None:
            fixed.append(("replay", Step(partial(self.restore_detector.replay, self.bus.start), self.bus.stop)))
        return [*fixed, *self.early, ("bus", self.bus), *self.parts, *_named([*self._own_loops(), *self.loops])]

    def _guards(self) -> list[Loop]:
        """They watch over the reading, a replay too."""
        watchdog = Watchdog(
            self._consumers,
            self._settlers,
            self.relay,
            self.settings.kafka_bootstrap,
            stuck_seconds=self.settings.stuck_seconds,
            end=end_process,
        )
        heartbeat = (
            []
            if self.restore_detector is None
            else [Loop("heartbeat", self.restore_detector.heartbeat, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)]
        )
        return [Loop("watchdog", watchdog.look, 5.0), *heartbeat]

    def _own_loops(self) -> list[Loop]:
        redrive = Loop("redrive", self._redrive, 5.0)
        self.dead_letters.wake = redrive.wake
        return [Loop("partitions", self._maintain, 3600.0), redrive, Loop("health", self.health.publish, 5.0)]

    def _consumers(self) -> dict[str, Consumer]:
        return {**self.bus.consumers(), **(self.feed.consumers() if self.feed else {})}

    async def _maintain(self) -> None:
        await partitions.maintain(
            self.database, self.clock, inbox_days=self.settings.inbox_days, outbox_days=self.settings.outbox_days,
            retention_days=self.settings.retention_days,
        )  # fmt: skip

    async def _end_frozen(self) -> None:
        if ended := await self.database.end_frozen(seconds=FROZEN_SECONDS):
            log.warning("ended %d sessions whose process had stopped in mid-statement", ended)

    async def _redrive(self) -> None:
        if await self.dead_letters.count():
            await self.dead_letters.redrive_requested()

    async def _check_topics(self) -> None:
        """One row for a topic that is not there would hold up the whole outbox: what is sent is checked as well."""
        read = [t for s in self.subscriptions for t in s.topics] + (
            [self.definitions_topic] if self.definitions else []
        )
        sent = [*self.sends, topic("dead-letters.v1"), topic("states.v1")]
        await self.settings.kafka.check()
        await require_topics(self.settings.kafka, [*read, *sent], prefix=self.settings.topic_prefix)

    def _settler(self, router: Router, *, use_inbox: bool = True) -> Settler:
        return Settler(
            self.database,
            router,
            self.dead_letters,
            self.telemetry,
            retry_seconds=self.settings.retry_seconds,
            handler_timeout_seconds=self.settings.handler_timeout_seconds,
            use_inbox=use_inbox,
        )

    def _feed(self) -> DefinitionsFeed | None:
        if self.definitions is None:
            return None
        self.dead_letters.sources[self.definitions_topic.name] = (self.definitions_topic, self.definitions)
        settler = self._settlers["definitions"] = self._settler(self.definitions, use_inbox=False)
        return DefinitionsFeed(
            self.settings.kafka, self.definitions_topic, settler, topic_prefix=self.settings.topic_prefix
        )

    def _restore_detection_part(self) -> RestoreDetector | None:
        if self.after_restore is None:
            return None
        prefix, group = self.settings.topic_prefix, self._bus_settings().group
        groups = {
            f"{group}.{s.name}": [
                TopicPartition(t.full_name(prefix), number) for t in s.topics for number in range(t.partitions)
            ]
            for s in self.subscriptions
        }
        return RestoreDetector(
            self.database, self.after_restore, kafka=self.settings.kafka, groups=groups, end=end_process
        )

    def _bus_settings(self) -> BusSettings:
        settings = self.settings
        return BusSettings(
            kafka=settings.kafka,
            topic_prefix=settings.topic_prefix,
            group=f"{settings.group_prefix}{self.name}",
            batch_max_messages=settings.batch_max_messages,
            session_timeout_seconds=settings.session_timeout_seconds,
            fetch_wait_seconds=settings.fetch_wait_seconds,
            drain_seconds=settings.drain_seconds,
        )

    async def _is_started(self) -> str:
        return "" if self._started else "still starting"

    async def _database_answers(self) -> str:
        await self.database.ping()
        return ""

    async def _is_assigned(self) -> str:
        waiting = [name for name, consumer in self.bus.consumers().items() if not consumer.assignment()]
        missing = {s.name for s in self.subscriptions} - set(self.bus.consumers())
        return f"no partitions yet: {', '.join([*waiting, *sorted(missing)])}" if waiting or missing else ""

    async def _loops_succeed(self) -> str:
        """The loops whose passes keep failing, each with its reason."""
        return "; ".join(f"{name}: {reason}" for name, reason in self.troubles().items())

    def troubles(self) -> dict[str, str]:
        """What keeps failing in this process, by name, with its reason."""
        parts = [part for _, part in self._running if isinstance(part, ReportsTrouble)]
        return {name: reason for part in parts for name, reason in part.troubles.items()}

    async def _outbox_moves(self) -> str:
        age = self.relay.oldest_seconds
        return f"oldest unsent message is {age:.0f} s old" if age > self.settings.stuck_seconds else ""
