"""Wiring of the reprocessor."""

from functools import partial

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.persistence.retention import Retention
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.topics import topic
from signalbox_reprocessor import handlers
from signalbox_reprocessor.loops import Reprocessing
from signalbox_reprocessor.settings import ReprocessorSettings
from signalbox_reprocessor.store import retention

NAME = "reprocessor"
RETENTION = Retention(count=retention.count, prune=retention.prune)


def reprocessor(settings: ReprocessorSettings) -> Service:
    """The service, not started."""

    def wake() -> None:
        planning.wake()
        publishing.wake()

    control = handlers.control(wake, lambda: service.clock.now())
    service = Service(
        NAME,
        settings,
        subscriptions=[
            Subscription("control", (topic("operations.v1"),), control),
            Subscription(
                "facts", (topic("plans.v1"), topic("tasks.v1")), handlers.follow(wake), fetch_min_bytes=65_536
            ),
        ],
        sends=[topic("requests.v1"), topic("states.v1")],
    )
    service.dead_letters.answer_operations(control)
    vault = settings.vault()
    service.parts = [("vault", vault)] if vault else []
    reprocessing = Reprocessing(service.database, service.clock, settings, vault)
    planning = Loop("plan jobs", reprocessing.plan_jobs, 1.0)
    publishing = Loop("publish states", reprocessing.publish_states, 1.0)
    service.loops = [
        planning,
        publishing,
        Loop("remove folders", reprocessing.remove_folders, 5.0),
        Loop("retention", partial(RETENTION.one_pass, service.database, settings), 600.0),
    ]
    return service
