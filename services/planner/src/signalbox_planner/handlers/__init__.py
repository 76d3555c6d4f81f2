"""What comes in: requests and commands on one subscription, facts of tasks on the other.

In: definitions of jobs, pipelines and triggers; schedule.ticked; events of other systems; plan.request in pages,
plan.pause, .resume, .cancel, .rules, .retry; plan.republish; tasks.state.
Changes: plan, request_page, item, republish_request, definition, plan_start, trigger_event, trigger_count,
debounced_event. Out: plan.state, plan.items; plan.rules, tasks.ensure, tasks.cancel; trigger.state; operation.result.
"""

from signalbox_chassis.messaging.router import Router
from signalbox_chassis.runtime.health import Restated
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.handlers import commands, requests, selections, starts, tasks
from signalbox_planner.handlers.starts import SeenRevision, definitions, external
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.starting import Starter

__all__ = ["control", "definitions", "external", "observed"]


def control(dispatcher: Dispatcher, starter: Starter, seen: SeenRevision, restated: Restated) -> Router:
    """Requests, commands and ticks."""
    router = Router()
    starts.register(router, starter, seen)
    requests.register(router, dispatcher)
    commands.register(router, dispatcher, restated)
    return router


def observed(settings: PlannerSettings, dispatcher: Dispatcher) -> Router:
    """Facts of tasks."""
    router = Router()
    tasks.register(router, settings, dispatcher)
    selections.register(router, dispatcher)
    return router
