"""What a route works with: the database, who waits, the settings, secrets. One object, made in `app`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from opentelemetry.trace import Tracer

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.security.egress import EgressGuard
from signalbox_gateway.definitions.unreadable import UnreadableDefinitions
from signalbox_gateway.live.forwarding import Notifiers
from signalbox_gateway.log_following import FollowedLogs
from signalbox_gateway.long_poll import Waits
from signalbox_gateway.run_hints import RunHints
from signalbox_gateway.settings import GatewaySettings


async def _nothing_more() -> dict[str, Any]:
    return {}


@dataclass
class Dependencies:
    """Everything real that routes touch."""

    database: Database
    waits: Waits
    settings: GatewaySettings
    tracer: Tracer
    clock: Clock
    vault: Any = None
    """`signalbox_chassis.security.vault.Vault`, when one is configured."""
    blobs: Blobs | None = None
    broker: Callable[[], Awaitable[dict[str, Any]]] = field(default=_nothing_more)
    """What Kafka says: consumer groups with members and lag. Raises when it does not answer."""
    guard: EgressGuard = field(default_factory=EgressGuard)
    identity: Any = None
    """`signalbox_gateway.identity.service.Identity`."""
    live: Notifiers = field(default_factory=lambda: Notifiers((), ()))
    """The notifiers that WebSockets are forwarded to."""
    followed_logs: FollowedLogs = field(default_factory=FollowedLogs)
    run_hints: RunHints = field(init=False)
    unreadable: UnreadableDefinitions = field(default_factory=UnreadableDefinitions)
    """The stored definitions that cannot be read."""

    def __post_init__(self) -> None:
        self.run_hints = RunHints(self.database)


def _dependencies(request: Request) -> Dependencies:
    return request.app.state.dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]
"""A route's parameter: `deps: Deps`."""
