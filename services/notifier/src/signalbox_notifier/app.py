"""Wiring of the notifier."""

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service, Step
from signalbox_chassis.security.assertions import signing_keys
from signalbox_contracts.topics import topic
from signalbox_notifier import handlers
from signalbox_notifier.lateness import CatchUp, Lateness
from signalbox_notifier.live.hub import Hub
from signalbox_notifier.live.server import LiveServer
from signalbox_notifier.live.wake_ups import RedisWakeUps
from signalbox_notifier.loops import Passes, Sending, guarded_session
from signalbox_notifier.senders import Senders
from signalbox_notifier.settings import NotifierSettings
from signalbox_notifier.telling import Telling

NAME = "notifier"
POLL_SECONDS = 0.5
"""How often the live feed looks by itself."""


def notifier(settings: NotifierSettings) -> Service:
    """The service, not started."""
    telling = Telling(settings)
    control = handlers.control(telling, lambda: sending_loop.wake())
    facts = handlers.observed(telling, lambda: sending_loop.wake(), lambda: wake_ups.send())
    service = Service(
        NAME,
        settings,
        subscriptions=[
            Subscription("control", (topic("operations.v1"),), control),
            Subscription("facts", tuple(map(topic, ("plans.v1", "tasks.v1", "states.v1", "dead-letters.v1"))), facts),
        ],
        sends=[topic("deliveries.v1")],
        definitions=handlers.definitions(),
    )
    service.dead_letters.answer_operations(control)
    vault = settings.vault()
    sending: list[Sending] = []
    hub = Hub(service.database)
    keys = signing_keys(settings.secret_key.get_secret_value())
    server = LiveServer(hub, service.database, keys, settings.live_host, settings.live_port)

    async def open_connections() -> None:
        sending.append(
            Sending(
                service.database,
                Senders(guarded_session(settings), vault, settings),
                settings,
                service.telemetry,
                wake_live,
            )
        )

    async def close_connections() -> None:
        while sending:
            await sending.pop().stop()

    async def send_due() -> None:
        await sending[0].one_pass()

    def wake_live() -> None:
        wake_ups.send()

    catch_up = CatchUp(service.bus.consumers)
    passes = Passes(service.database, settings, telling, lambda: sending_loop.wake(), catch_up.is_done)
    lateness = Lateness(service.database, settings, telling, service.bus.consumers, lambda: sending_loop.wake())
    sending_loop = Loop("send", send_due, 0.5)
    feed = Loop("live feed", hub.one_pass, POLL_SECONDS, max_backoff_seconds=2.0)
    channel = f"{settings.topic_prefix}live"
    wake_ups = RedisWakeUps(settings.redis_url.get_secret_value(), channel, feed.wake)
    service.parts = [
        *([("vault", vault)] if vault else []),
        ("connections", Step(open_connections, close_connections)),
        ("wake-ups", wake_ups),
        ("live feed", server),
    ]
    service.loops = [
        sending_loop,
        feed,
        Loop("update incidents", passes.update_incidents, 1.0),
        Loop("digests", passes.send_digests, 2.0),
        Loop("lateness", lateness.one_pass, 5.0),
        Loop("deadlines", passes.check_deadlines, 2.0),
        Loop("publish", passes.publish, 0.5),
        Loop("prune deliveries", passes.prune, 3600.0),
        Loop("prune live feed", passes.prune_live, 60.0),
    ]
    return service
