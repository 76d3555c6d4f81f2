"""Wiring of the executor."""

from collections.abc import Sequence
from functools import partial

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.runtime.wake_ups import WakeUps
from signalbox_contracts.topics import topic
from signalbox_executor import handlers
from signalbox_executor.engine_requests import EngineRequests
from signalbox_executor.engine_states import EngineStates
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
from signalbox_executor.hints import HintTaker
from signalbox_executor.logs import LogKeeper
from signalbox_executor.loops import Worker
from signalbox_executor.membership import Membership
from signalbox_executor.observer import Observer
from signalbox_executor.operations import ConnectionTests
from signalbox_executor.recovery.republish import Republisher
from signalbox_executor.recovery.restore import after_restore
from signalbox_executor.retention import executor_retention
from signalbox_executor.secrets import Secrets
from signalbox_executor.selections import SelectionResolver
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.submitter import Submitter

NAME = "executor"


def executor(
    settings: ExecutorSettings, engine_settings: Sequence[EngineSettings] = (), *, open: OpenEngine | None = None
) -> Service:
    """The service, not started. Settings of engines that are not given come from the environment."""
    clock, wakes = SystemClock(), WakeUps()
    blobs = Blobs(settings.blob_url) if settings.blob_url else None
    secrets = Secrets(settings.vault(), places=secret_places)
    context = EngineContext(
        settings=settings, guard=settings.guard(), secrets=secrets, clock=clock, blobs=blobs,
        engine_settings=load_settings(engine_settings),
    )  # fmt: skip
    control = handlers.control(clock, wakes, lambda what, version: service.health.restate(what, version))
    topics = (topic("task-commands.v1"), topic("operations.v1"))
    service = Service(
        NAME, settings, subscriptions=[Subscription("control", topics, control)],
        definitions=handlers.definitions(wakes), after_restore=after_restore,
    )  # fmt: skip
    service.dead_letters.answer_operations(control)
    registry = EngineRegistry(
        open or opener(context), close_after_seconds=settings.engine_timeout_seconds, secret_versions=secrets.versions
    )
    member = Membership()
    observer = Observer(service.database, registry, member, settings, service.telemetry, wakes, secrets=secrets)
    submitter = Submitter(
        service.database, registry, settings, service.telemetry, secrets=secrets, on_recorded=observer.recorded
    )
    worker = Worker(service.database, registry, submitter, member, settings, wakes, host_id=host_id(context))
    tests = ConnectionTests(service.database, registry, worker.reachable)
    requests = EngineRequests(service.database, registry, worker.reachable)
    resolver = SelectionResolver(service.database, registry, worker.reachable, lambda: member.id)
    republisher, states = Republisher(service.database), EngineStates(service.database)
    # these go on while a restored database is caught up with
    early = [
        Loop("renew", worker.renew, settings.renew_seconds, max_backoff_seconds=settings.renew_seconds),
        Loop("take-over", worker.take_over, settings.take_over_seconds),
        Loop("refresh", worker.refresh, 2.0),
        Loop("observe", observer.one_pass, 0.1),
    ]
    service.early = [
        ("secrets", secrets), ("worker", worker), ("observer", observer), ("engine requests", requests),
        *((loop.name, loop) for loop in early),
    ]  # fmt: skip
    service.loops = [
        Loop("run hints", HintTaker(service.database, member, observer.recorded).one_pass, 0.5),
        Loop("tidy", worker.tidy, 2.0),
        Loop("freeze calendars", worker.extend_freezes, 300.0),
        Loop("explain", worker.explain, settings.explain_seconds),
        Loop("engine states", states.publish_changed, 1.0),
        Loop("engine secrets", registry.find_rotated, 5.0),
        Loop("connection tests", tests.one_pass, 2.0),
        Loop("engine requests", requests.one_pass, 1.0),
        Loop("republish", republisher.one_pass, 2.0),
        Loop("selections", resolver.one_pass, 1.0),
        Loop("forget selections", resolver.forget, 3600.0),
        Loop("publish", worker.publish_pending, settings.publish_delay_seconds / 2),
        Loop("claim", worker.claim, settings.claim_seconds, max_backoff_seconds=5.0),
        Loop("retention", partial(executor_retention(blobs).one_pass, service.database, settings), 600.0),
        Loop("engine upkeep", partial(keep_up, context), 3600.0),
    ]
    if blobs is not None:
        keeper = LogKeeper(service.database, registry, secrets, blobs, settings, reachable=worker.reachable)
        every = min(settings.log_seconds, settings.log_follow_seconds, 1.0)
        service.loops = [*service.loops, Loop("logs", keeper.one_pass, every)]
    for loop in (*early, *service.loops):
        wakes.add(loop)
    wakes.check(
        "claim", "refresh", "observe", "run hints", "connection tests", "engine requests", "republish", "selections"
    )
    return service
