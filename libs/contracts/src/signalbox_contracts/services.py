"""What a service declares about itself, and where every installed service is found.

A service names one `ServiceSpec` in the entry-point group `signalbox.services` of its `pyproject.toml`. Provisioning,
the consumer groups of the status page, `asyncapi.json`, the settings table, the local stack, chaos and the benchmarks
read these declarations. There is no other list of services.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

GROUP: Final = "signalbox.services"
DEFINITIONS: Final = "definitions.v1"
NOTICES: Final = "dead-letters.v1"
"""Every service writes here what it parked."""
STATES: Final = "states.v1"
"""Every service writes here the results of operations on its parked messages."""


class ServiceUnusable(Exception):
    """The declaration of a service cannot be loaded, or contradicts another one."""


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One port a service listens on: the setting that chooses it, and the path that answers 200 when it is ready."""

    variable: str
    probe: str


_HTTP: Final = MappingProxyType({"http": PortSpec("SIGNALBOX_HTTP_PORT", "/readyz")})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One service.

    `package` is what `python -m` runs. `app` (`module:function`) builds the service from its settings; `settings`
    (`module:class`) is its settings class. Both are texts, so that reading a declaration imports no framework.
    """

    name: str
    package: str
    app: str
    settings: str
    migrations: Path
    """The folder with the history of the service's schema."""
    consumers: Mapping[str, tuple[str, ...]]
    """Subscription → the topics it reads. The consumer group is `<prefix><service>.<subscription>`."""
    definitions: bool = False
    """Whether it reads `definitions.v1` to its end before anything else."""
    inspects: tuple[str, ...] = ()
    """More topics that it reads now and then, without a consumer group."""
    watches_groups: bool = False
    """Whether it shows members and lag of every service's consumer groups."""
    writes: tuple[str, ...] = ()
    """The topics it writes, without the two that every service writes."""
    ports: Mapping[str, PortSpec] = field(default_factory=lambda: _HTTP)
    """Name → port. `http` carries the probes; a port named `api` is where people and programs reach Signalbox."""
    own_topics: str = ""
    """`module:name` of a tuple of topics that the contracts do not have: only an extension has such topics."""
    reads_secrets: tuple[str, ...] = ()
    """The uses of secrets it may read: `work`, `engine`, `channel`."""
    writes_secrets: bool = False
    own_secrets: str = ""
    """It writes the secrets whose names begin with this, and no others."""
    worker_role: bool = False
    """Whether programs that engines run reach its schema, by a role of their own: its migrations have a function
    `allow_worker(role)` that grants it what it needs."""
    order: int = 50
    """Services start in this order: those that do the work first, the API last."""
    replicas: int = 2
    """How many run at once where the stack is made of more than one of each."""
    crash_points: tuple[str, ...] = ()
    """The points of its own code, beside those of the chassis, where chaos may kill it."""

    @property
    def schema(self) -> str:
        """The database schema it owns; its role has the same name behind a prefix."""
        return self.name.replace("-", "_")

    @property
    def reads(self) -> tuple[str, ...]:
        """Every topic it reads, each once, in the order of the declaration."""
        topics = [name for names in self.consumers.values() for name in names]
        return tuple(dict.fromkeys([*topics, *([DEFINITIONS] if self.definitions else [])]))

    @property
    def sends(self) -> tuple[str, ...]:
        """Every topic it writes, each once."""
        return tuple(dict.fromkeys([*self.writes, STATES, NOTICES]))

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Consumer group without its prefix → the topics it reads."""
        return {f"{self.name}.{subscription}": topics for subscription, topics in self.consumers.items()}

    def load(self, reference: str) -> Any:
        """The object behind `module:name`. Raises ServiceUnusable."""
        module, _, name = reference.partition(":")
        try:
            return getattr(import_module(module), name)
        except Exception as error:
            raise ServiceUnusable(
                f"{self.name}: {reference} cannot be loaded: {type(error).__name__}: {error}"
            ) from error


def installed_services(points: Iterable[EntryPoint] | None = None) -> tuple[ServiceSpec, ...]:
    """Every installed service, in the order of starting. Raises ServiceUnusable."""
    found: dict[str, ServiceSpec] = {}
    for point in entry_points(group=GROUP) if points is None else points:
        where = f"entry point {point.name} = {point.value} in {GROUP}"
        try:
            spec: object = point.load()
        except Exception as error:
            raise ServiceUnusable(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(spec, ServiceSpec) or spec.name != point.name:
            raise ServiceUnusable(f"{where} is not the ServiceSpec of a service with that name")
        if found.setdefault(spec.name, spec) is not spec:
            raise ServiceUnusable(f"{where}: another package declares a service with that name")
    return tuple(sorted(found.values(), key=lambda spec: (spec.order, spec.name)))


def service(name: str) -> ServiceSpec:
    """The installed service with this name. Raises ServiceUnusable."""
    for spec in installed_services():
        if spec.name == name:
            return spec
    raise ServiceUnusable(f"no service {name} is installed")
