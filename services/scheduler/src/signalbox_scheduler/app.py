"""Wiring of the scheduler."""

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.topics import topic
from signalbox_scheduler import handlers
from signalbox_scheduler.loops import Scheduling
from signalbox_scheduler.settings import SchedulerSettings

NAME = "scheduler"


def scheduler(settings: SchedulerSettings) -> Service:
    """The service, not started."""
    control = handlers.control(lambda: backfilling.wake())
    service = Service(
        NAME,
        settings,
        subscriptions=[Subscription("control", (topic("operations.v1"),), control)],
        sends=[topic("ticks.v1")],
        definitions=handlers.definitions(lambda: firing.wake()),
    )
    service.dead_letters.answer_operations(control)
    scheduling = Scheduling(
        service.database,
        settings,
        service.telemetry.tracer,
        wake_store=lambda: storing.wake(),
        wake_fire=lambda: firing.wake(),
    )
    firing = Loop("fire", scheduling.fire, settings.tick_poll_seconds, max_backoff_seconds=5.0)
    storing = Loop("store ticks", scheduling.store, settings.tick_poll_seconds, max_backoff_seconds=5.0)
    backfilling = Loop("backfill", scheduling.backfill, 2.0)
    service.loops = [
        storing,
        firing,
        backfilling,
        Loop("publish states", scheduling.publish_states, 1.0),
        Loop("prune ticks", scheduling.prune, 3600.0),
    ]
    return service
