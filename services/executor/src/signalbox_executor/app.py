"""Wiring of the executor."""

from signalbox_chassis.bus import Subscription
from signalbox_chassis.clock import SystemClock
from signalbox_chassis.loops import Loop
from signalbox_chassis.service import Service
from signalbox_contracts.topics import topic
from signalbox_executor import handlers
from signalbox_executor.directory import Directory, OpenEngine, open_engine
from signalbox_executor.drive import Driver
from signalbox_executor.loops import Worker
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.watch import Watcher

NAME = "executor"


def executor(settings: ExecutorSettings, *, open: OpenEngine = open_engine) -> Service:
    """The service, not started."""
    clock = SystemClock()
    control = handlers.control(clock)
    topics = (topic("task-commands.v1"), topic("operations.v1"))
    service = Service(
        NAME, settings, subscriptions=[Subscription("control", topics, control)], definitions=handlers.definitions()
    )
    service.dead_letters.answer_operations(control)
    directory = Directory(open)
    driver = Driver(service.database, directory, settings)
    worker = Worker(service.database, directory, driver, settings)
    watcher = Watcher(service.database, directory, worker, settings)
    service.parts = [("worker", worker), ("watcher", watcher)]
    service.loops = [
        Loop("renew", worker.renew, settings.renew_seconds, most_backoff_seconds=settings.renew_seconds),
        Loop("take-over", worker.take_over, settings.take_over_seconds),
        Loop("refresh", worker.refresh, 1.0),
        Loop("tidy", worker.tidy, 1.0),
        Loop("explain", worker.explain, settings.explain_seconds),
        Loop("watch", watcher.one_pass, 0.1),
        Loop("claim", worker.claim, settings.claim_seconds, most_backoff_seconds=5.0),
    ]
    return service
