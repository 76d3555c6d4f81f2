"""Wiring of the example service."""

import os

from example_service import handlers, store
from example_service.messages import COMMANDS, COUNTERS
from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.settings import ServiceSettings
from signalbox_contracts.topics import topic

NAME = "example"


def example_service(settings: ServiceSettings, bug: handlers.Bug | None = None, name: str = NAME) -> Service:
    """The service, not started. Facts are followed too, unless it is only measured (`EXAMPLE_FACTS=no`)."""
    control = handlers.control(bug or handlers.Bug())
    subscriptions = [Subscription("control", (COMMANDS, topic("operations.v1")), control)]
    if os.environ.get("EXAMPLE_FACTS") != "no":
        subscriptions.append(Subscription("facts", (COUNTERS,), handlers.facts()))
    service = Service(
        name, settings, subscriptions=subscriptions, sends=(COUNTERS,), definitions=handlers.definitions()
    )
    service.dead_letters.answer_operations(control)

    async def restate() -> bool:
        async with service.database.unit_of_work() as work:
            counters = await store.counters_to_republish(work)
            for counter, total, version in counters:
                now = SystemClock().now()
                work.publish(handlers.state(counter, total, version, 0, time=now), topic=COUNTERS)
        return bool(counters)

    service.loops = [Loop("restate", restate, 1.0)]
    return service
