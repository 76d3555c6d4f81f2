"""Wiring of the planner."""

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.topics import topic
from signalbox_planner import handlers
from signalbox_planner.dispatch import Steps
from signalbox_planner.loops import Planning
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store.restored import after_restore

NAME = "planner"


def planner(settings: PlannerSettings) -> Service:
    """The service, not started."""
    steps = Steps(settings, lambda: going_on.wake())
    control = handlers.control(steps)
    facts = handlers.observed(settings, steps)
    service = Service(
        NAME,
        settings,
        subscriptions=[
            Subscription("control", (topic("requests.v1"), topic("operations.v1")), control),
            Subscription("facts", (topic("tasks.v1"),), facts),
        ],
        sends=[topic("plans.v1"), topic("task-commands.v1")],
        after_restore=after_restore,
    )
    service.dead_letters.answer_operations(control)
    planning = Planning(service.database, settings, steps)
    going_on = Loop("go on", planning.go_on, 1.0)
    service.loops = [
        going_on,
        Loop("ask", planning.ask, 2.0),
        Loop("rules", planning.repeat_rules, 2.0),
        Loop("tell", planning.tell, 1.0),
    ]
    return service
