"""Wiring of the executor."""

from collections.abc import Sequence
from functools import partial

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.topics import topic
from signalbox_executor import handlers
from signalbox_executor.engine_states import Teller
from signalbox_executor.engines.kind import EngineContext, EngineSettings
from signalbox_executor.engines.registry import (
    EngineRegistry,
    OpenEngine,
    host_id,
    keep_up,
    load_settings,
    opener,
    secret_places,
)
from signalbox_executor.logs import LogKeeper
from signalbox_executor.loops import Worker
from signalbox_executor.observer import Watcher
from signalbox_executor.secrets import Secrets
from signalbox_executor.selections import SelectionResolver
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store.restored import after_restore
from signalbox_executor.submitter import Driver

NAME = "executor"


def executor(
    settings: ExecutorSettings, engine_settings: Sequence[EngineSettings] = (), *, open: OpenEngine | None = None
) -> Service:
    """The service, not started. Settings of engines that are not given come from the environment."""
    clock = SystemClock()
    blobs = Blobs(settings.blob_url) if settings.blob_url else None
    secrets = Secrets(settings.vault(), places=secret_places)
    context = EngineContext(
        settings=settings, guard=settings.guard(), secrets=secrets, clock=clock, blobs=blobs,
        engine_settings=load_settings(engine_settings),
    )  # fmt: skip
    control = handlers.control(clock, lambda: claiming.wake(), lambda: answering.wake(), lambda: resolving.wake())
    topics = (topic("task-commands.v1"), topic("operations.v1"))
    definitions = handlers.definitions(lambda: refreshing.wake())
    service = Service(
        NAME, settings, subscriptions=[Subscription("control", topics, control)], definitions=definitions,
        after_restore=after_restore,
    )  # fmt: skip
    service.dead_letters.answer_operations(control)
    registry = EngineRegistry(open or opener(context), close_after_seconds=settings.engine_timeout_seconds)
    driver = Driver(service.database, registry, settings, service.telemetry, secrets=secrets)
    worker = Worker(service.database, registry, driver, settings, host_id=host_id(context))
    claiming = Loop("claim", worker.claim, settings.claim_seconds, max_backoff_seconds=5.0)
    refreshing = Loop("refresh", worker.refresh, 2.0)
    watcher = Watcher(service.database, registry, worker, settings, service.telemetry, freed=claiming.wake)
    worker.wake = claiming.wake
    watching = Loop("watch", watcher.one_pass, 0.1)
    watcher.wake, driver.on_recorded = watching.wake, watcher.recorded
    teller = Teller(service.database, registry, worker.reachable)
    answering = Loop("operations", teller.operations, 2.0)
    resolver = SelectionResolver(service.database, registry, worker.reachable, lambda: worker.id)
    resolving = Loop("selections", resolver.one_pass, 1.0)
    going_on = [
        Loop("renew", worker.renew, settings.renew_seconds, max_backoff_seconds=settings.renew_seconds),
        Loop("take-over", worker.take_over, settings.take_over_seconds),
        refreshing,
        watching,
    ]
    service.early = [
        ("secrets", secrets), ("worker", worker), ("watcher", watcher), *((loop.name, loop) for loop in going_on),
    ]  # fmt: skip
    service.loops = [
        Loop("tidy", worker.tidy, 2.0),
        Loop("explain", worker.explain, settings.explain_seconds),
        Loop("engine states", teller.engines, 1.0),
        answering,
        resolving,
        Loop("forget selections", resolver.forget, 3600.0),
        Loop("say", worker.say, settings.say_seconds / 2),
        claiming,
        Loop("engine upkeep", partial(keep_up, context), 3600.0),
    ]
    if blobs is not None:
        keeper = LogKeeper(service.database, registry, secrets, blobs, settings, reachable=worker.reachable)
        every = min(settings.log_seconds, settings.log_follow_seconds, 1.0)
        service.loops = [*service.loops, Loop("logs", keeper.one_pass, every)]
    return service
