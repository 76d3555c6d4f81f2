"""Roles, what each may do, and where: pure rules, and the one table of permissions.

A binding gives an account a role, everywhere or for one project, one engine, or one project on one engine. A
permission needs a role; some need less for what the caller started itself.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANY: Final = "*"


class Role(StrEnum):
    """From least to greatest; each may do what the ones before may."""

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def includes(self, other: "Role") -> bool:
        """Whether this role may do all that the other may."""
        return self.rank >= other.rank


@dataclass(frozen=True, slots=True)
class Need:
    """What a permission needs. `role` is None where any signed-in caller will do."""

    role: Role | None
    own: Role | None = None
    """The role that is enough for what the caller started itself."""
    scoped: bool = True
    """Whether a binding to a project or engine gives it there. Otherwise only a binding to everything does."""
    public: bool = False
    """Whether callers who are not signed in have it."""


def _reads(*kinds: str, scoped: bool = True, role: Role = Role.VIEWER) -> dict[str, Need]:
    return {f"{kind}.read": Need(role, scoped=scoped) for kind in kinds}


def _writes(*kinds: str, scoped: bool = True, role: Role = Role.OPERATOR) -> dict[str, Need]:
    return {f"{kind}.write": Need(role, scoped=scoped) for kind in kinds}


NEEDS: Final[Mapping[str, Need]] = {
    **_reads("engine", "job", "pipeline", "schedule", "trigger", "channel", "subscription", "freeze", "move"),
    **_reads("plan", "task", "operation", "trace"),
    **_reads("event", "dead_letter", "status", "incident", "delivery", scoped=False),
    **_reads("reprocessing", scoped=False),
    **_reads("secret", scoped=False, role=Role.OPERATOR),
    **_reads("user", "binding", "audit", scoped=False, role=Role.ADMIN),
    **_writes("engine", "job", "pipeline", "schedule", "trigger", "channel", "subscription", "move"),
    **_writes("freeze", role=Role.ADMIN),
    **_writes("secret", "user", "binding", scoped=False, role=Role.ADMIN),
    "audit.verify": Need(Role.ADMIN, scoped=False),
    "engine.operate": Need(Role.OPERATOR),
    "plan.start": Need(Role.USER),
    "plan.apply": Need(Role.OPERATOR, own=Role.USER),
    "plan.control": Need(Role.OPERATOR, own=Role.USER),
    "task.resolve": Need(Role.OPERATOR),
    **_reads("event_source", scoped=False),
    **_writes("event_source", scoped=False, role=Role.ADMIN),
    "channel.operate": Need(Role.OPERATOR),
    "channel.preview": Need(Role.USER, scoped=False),
    "incident.operate": Need(Role.OPERATOR, scoped=False),
    "delivery.operate": Need(Role.OPERATOR, scoped=False),
    "dead_letter.operate": Need(Role.OPERATOR, scoped=False),
    "event.preview": Need(Role.USER, scoped=False),
    "event.send": Need(Role.USER, scoped=False),
    "reprocessing.start": Need(Role.OPERATOR, scoped=False),
    "reprocessing.samples": Need(Role.OPERATOR, scoped=False),
    "reprocessing.control": Need(Role.OPERATOR, scoped=False),
    "schedule.preview": Need(None),
    "bulk.read": Need(None),
    "me.read": Need(None),
    "feed.follow": Need(None),
    "session.end": Need(None),
    "password.change": Need(None),
    "key.read": Need(None),
    "key.write": Need(None),
    "auth.register": Need(None, public=True),
    "auth.login": Need(None, public=True),
    "auth.refresh": Need(None, public=True),
}
"""Every permission that a route may need. A route with another one keeps the service from starting.

`key.read` and `key.write` are for one's own keys; those of others need the role admin, which the route checks.
`bulk.read` is for one's own bulk operations; those of others need `operation.read` everywhere.
"""


@dataclass(frozen=True, slots=True)
class Binding:
    """A role, and where it holds: `*` is any project, any engine."""

    role: Role
    project: str = ANY
    engine: str = ANY


@dataclass(frozen=True, slots=True)
class Object:
    """What a call is about: its project, the engines it reaches, and who started it."""

    project: str
    engines: frozenset[str] = frozenset()
    actor: str = ""
    is_engine: bool = False


EVERYTHING: Final = Object("")
"""No project has this name: only a binding to all of them covers it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a caller has one permission. `places` are pairs of project and engine."""

    everywhere: bool = False
    places: tuple[tuple[str, str], ...] = ()
    own_places: tuple[tuple[str, str], ...] = ()
    """Where only for what the caller started itself."""
    actor: str = ""

    @property
    def nowhere(self) -> bool:
        return not (self.everywhere or self.places or self.own_places)

    @property
    def columns(self) -> tuple[list[str], list[str]] | None:
        """The places as two columns for SQL; None for everywhere."""
        if self.everywhere:
            return None
        return [project for project, _ in self.places], [engine for _, engine in self.places]

    def sees(self, found: Object) -> bool:
        """Whether at least one place holds some part of it."""
        return self.everywhere or any(_overlaps(place, found) for place in self.places)

    def changes(self, found: Object) -> bool:
        """Whether every part of it is in a place."""
        own = self.own_places if found.actor and found.actor == self.actor else ()
        return self.everywhere or _covered((*self.places, *own), found)


NOWHERE: Final = Reach()
EVERYWHERE: Final = Reach(everywhere=True)


def reach(bindings: Iterable[Binding], permission: str, actor: str = "") -> Reach:
    """Where these bindings give a permission."""
    need = NEEDS[permission]
    if need.role is None:
        return EVERYWHERE
    bindings = tuple(bindings)
    enough = [one for one in bindings if one.role.includes(need.role)]
    own = [one for one in bindings if need.own is not None and one.role.includes(need.own) and one not in enough]
    if any(one.project == ANY and one.engine == ANY for one in enough):
        return Reach(everywhere=True, actor=actor)
    if not need.scoped:
        return NOWHERE
    return Reach(
        places=tuple((one.project, one.engine) for one in enough),
        own_places=tuple((one.project, one.engine) for one in own), actor=actor,
    )  # fmt: skip


def permissions(bindings: Iterable[Binding], known: Collection[str] = tuple(NEEDS)) -> frozenset[str]:
    """The permissions these bindings give anywhere."""
    bindings = tuple(bindings)
    return frozenset(name for name in known if not reach(bindings, name).nowhere)


def _overlaps(place: tuple[str, str], found: Object) -> bool:
    project, engine = place
    if found.is_engine and engine in found.engines:
        return True
    return project in (ANY, found.project) and (engine == ANY or engine in found.engines)


def _covered(places: Collection[tuple[str, str]], found: Object) -> bool:
    here = {engine for project, engine in places if project in (ANY, found.project)}
    if ANY in here:
        return True
    return not found.is_engine and bool(found.engines) and found.engines <= here
