"""What a kind of engine brings with it: how it is opened, what it may hold, what it can do.

Each engine is a folder whose `kind.py` has a `KIND`; `registry.KINDS` lists the folders.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import aiohttp

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.security.egress import EgressGuard
from signalbox_chassis.settings import Settings
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.port import Engine
from signalbox_executor.settings import ExecutorSettings


class EngineSettings(Settings):
    """What an operator sets for one kind of engine, read from the environment like every other setting."""


S = TypeVar("S", bound=EngineSettings)


class EngineNotOpened(Exception):
    """This executor does not reach the engine; `reason` says why to a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SecretResolver(Protocol):
    """Reads the secrets that an engine's definition refers to."""

    async def resolve(self, *references: str) -> Mapping[str, str]:
        """Values by reference (`secret://name`), all or none.

        Raises `EngineRefused` for one that cannot be used, `EngineUnavailable` while the vault does not answer.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EngineContext:
    """What the executor gives an engine to work with."""

    settings: ExecutorSettings
    guard: EgressGuard
    """What may be called. An engine whose client makes its own connections checks each address with it."""
    secrets: SecretResolver
    clock: Clock
    blobs: Blobs | None = None
    """None: the operator set no blob store."""
    engine_settings: Mapping[type[EngineSettings], EngineSettings] = field(
        default_factory=dict[type[EngineSettings], EngineSettings]
    )

    def http_session(self, **arguments: Any) -> aiohttp.ClientSession:
        """A session that reaches only what the guard allows; arguments are those of `EgressGuard.session`."""
        return self.guard.session(**arguments)

    def settings_of(self, kind: type[S]) -> S:
        """The settings of one kind of engine."""
        found = self.engine_settings.get(kind)
        return found if isinstance(found, kind) else kind()


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """One kind of engine, as the registry knows it."""

    kind: str
    """The `kind` of its connection and of its work in the contracts."""
    open: Callable[[EngineDefinition, EngineContext], Awaitable[Engine]]
    """Make the adapter of a definition. It does not call the engine; raises `EngineNotOpened`."""
    capabilities: frozenset[Capability] = frozenset()
    secret_places: tuple[str, ...] = ()
    """Fields of its work where `secret://name` may stand: `field`, or `field.*` for the values of a mapping."""
    settings: type[EngineSettings] | None = None
    upkeep: Callable[[EngineContext], Awaitable[None]] | None = None
    """Hourly: remove what the kind keeps outside of the database and needs no more."""
    host_id: Callable[[EngineContext], str | None] | None = None
    """The id of this host, where engines of this kind belong to one; None: this executor runs none of them."""
