"""What comes in: requests and commands on one subscription, facts of tasks on the other.

In: plan.request in pages, plan.pause, .resume, .cancel, .rules, .retry; plan.republish; tasks.state.
Changes: plan, request_page, item, republish_request. Out: plan.state, plan.items; plan.rules, tasks.ensure,
tasks.cancel; operation.result.
"""

from signalbox_chassis.messaging.router import Router
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.handlers import commands, requests, tasks
from signalbox_planner.settings import PlannerSettings


def control(dispatcher: Dispatcher) -> Router:
    """Requests and commands."""
    router = Router()
    requests.register(router, dispatcher)
    commands.register(router, dispatcher)
    return router


def observed(settings: PlannerSettings, dispatcher: Dispatcher) -> Router:
    """Facts of tasks."""
    router = Router()
    tasks.register(router, settings, dispatcher)
    return router
