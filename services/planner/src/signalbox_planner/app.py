"""Wiring of the planner."""

from functools import partial

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.persistence.retention import Retention
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.topics import source_topic, topic
from signalbox_planner import handlers
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.loops import Planning
from signalbox_planner.recovery.republish import Republisher
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.starting import Starter, WaitingStarts
from signalbox_planner.store import retention
from signalbox_planner.store.restore import raise_versions
from signalbox_planner.waiting_events import WaitingEvents

NAME = "planner"
RETENTION = Retention(count=retention.count, prune=retention.prune)


def planner(settings: PlannerSettings) -> Service:
    """The service, not started."""
    dispatcher = Dispatcher(settings, lambda: advance.wake())
    starter = Starter(dispatcher)

    async def seen(revision: int, timeout_seconds: float) -> bool:
        return service.feed is None or await service.feed.seen(revision, timeout_seconds)

    control = handlers.control(dispatcher, starter, seen, lambda what, version: service.health.restate(what, version))
    trigger_topics = (topic("triggers.v1"), *map(source_topic, settings.sources))
    facts = handlers.observed(settings, dispatcher)
    service = Service(
        NAME,
        settings,
        subscriptions=[
            Subscription("control", (topic("requests.v1"), topic("operations.v1"), topic("ticks.v1")), control),
            Subscription("events", trigger_topics, handlers.external(starter, settings.sources)),
            Subscription("facts", (topic("tasks.v1"),), facts),
        ],
        sends=[topic("plans.v1"), topic("task-commands.v1")],
        definitions=handlers.definitions(),
        after_restore=raise_versions,
    )
    service.dead_letters.answer_operations(control)
    planning = Planning(service.database, settings, dispatcher)
    waiting, events = WaitingStarts(service.database, starter), WaitingEvents(service.database, starter)
    advance = Loop("advance", planning.advance, 1.0)
    service.loops = [
        advance,
        Loop("reconcile", planning.reconcile, 2.0),
        Loop("time limits", planning.stop_overdue, 1.0),
        Loop("rules", planning.republish_rules, 2.0),
        Loop("selections", planning.ask_again, 5.0),
        Loop("republish", Republisher(service.database).one_pass, 1.0),
        Loop("start queued", waiting.start_queued, 1.0),
        Loop("start debounced", events.start_debounced, 1.0),
        Loop("start batches", events.start_batches, 1.0),
        Loop("release held events", events.release_held, 1.0),
        Loop("start delayed", events.start_delayed, 0.5),
        Loop("prune events", events.prune, 600.0),
        Loop("retention", partial(RETENTION.one_pass, service.database, settings), 600.0),
    ]
    return service
