"""Wiring of the planner."""

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.topics import topic
from signalbox_planner import handlers
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.loops import Planning
from signalbox_planner.recovery.republish import Republisher
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store.restore import raise_versions

NAME = "planner"


def planner(settings: PlannerSettings) -> Service:
    """The service, not started."""
    dispatcher = Dispatcher(settings, lambda: advance.wake())
    control = handlers.control(dispatcher)
    facts = handlers.observed(settings, dispatcher)
    service = Service(
        NAME,
        settings,
        subscriptions=[
            Subscription("control", (topic("requests.v1"), topic("operations.v1")), control),
            Subscription("facts", (topic("tasks.v1"),), facts),
        ],
        sends=[topic("plans.v1"), topic("task-commands.v1")],
        after_restore=raise_versions,
    )
    service.dead_letters.answer_operations(control)
    planning = Planning(service.database, settings, dispatcher)
    advance = Loop("advance", planning.advance, 1.0)
    service.loops = [
        advance,
        Loop("reconcile", planning.reconcile, 2.0),
        Loop("rules", planning.republish_rules, 2.0),
        Loop("republish", Republisher(service.database).one_pass, 1.0),
    ]
    return service
