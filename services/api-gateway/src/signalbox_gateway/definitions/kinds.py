"""The kinds of definitions: one entry gives a kind its routes, permissions, checks, users and commands."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions import KINDS as MODELS
from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.samples import definitions as samples
from signalbox_gateway.definitions import store
from signalbox_gateway.flink_jobs.document import from_document
from signalbox_gateway.flink_jobs.schedules import document_fields
from signalbox_gateway.read_model import freezes, queries, starts, usage

Users = Callable[[Connection, str], Awaitable[list[str]]]
States = Callable[[Connection, Sequence[str]], Awaitable[dict[str, Any]]]
Details = Callable[[Connection, Sequence[store.Saved]], Awaitable[dict[str, dict[str, Any]]]]
Translation = Callable[[dict[str, Any]], dict[str, Any]]


async def _no_users(connection: Connection, id: str) -> list[str]:
    return []


def _as_written(written: dict[str, Any]) -> dict[str, Any]:
    return written


def _no_stamp(actor: str) -> dict[str, Any]:
    return {}


def _author(actor: str) -> dict[str, Any]:
    return {"author": actor}


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionKind:
    """One kind. Its model comes from the contracts; `example` is a definition as a person writes it."""

    kind: str
    path: str
    """Its collection below `/api/v1`."""
    about: str
    """What it is, for people: a noun phrase."""
    example: Definition
    live_users: Users = _no_users
    """Running things that use it, as `kind:id`. The definitions that refer to it are found for every kind."""
    load_states: States | None = None
    """What its owner last published about these ids; answers then have a field `state`."""
    translate: Translation = _as_written
    """What callers may write in another document's fields, in ours. Raises `InvalidDefinition`."""
    load_details: Details | None = None
    """Fields that answers have beside the definition's own, by id."""
    stamp: Callable[[str], dict[str, Any]] = _no_stamp
    """Fields the gateway sets itself, from who saves it."""
    refers_to_engines: bool = False
    """Whether lists can be filtered by `engine`."""

    @property
    def model(self) -> type[Definition]:
        return MODELS[self.kind]

    @property
    def read_permission(self) -> str:
        return f"{self.kind}.read"

    @property
    def write_permission(self) -> str:
        return f"{self.kind}.write"

    @property
    def a_kind(self) -> str:
        """The kind with its article: `an engine`."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    async def users(self, connection: Connection, id: str) -> list[str]:
        """What keeps it from being deleted, as `kind:id`."""
        live = await self.live_users(connection, id)
        return [*await store.users_of(connection, self.kind, id), *live][: store.MAX_USERS]


_ENTRIES: Final = (
    DefinitionKind(
        kind="engine", path="engines", about="a registered remote system that runs work", example=samples.engines()[0],
        live_users=usage.live_plans_on_engine, load_states=queries.engine_states,
    ),
    DefinitionKind(
        kind="job", path="jobs", about="a saved, versioned piece of work on one engine", example=samples.job(),
        refers_to_engines=True, translate=from_document, load_details=document_fields,
    ),
    DefinitionKind(
        kind="pipeline", path="pipelines", about="a saved, versioned graph of steps, each on one engine",
        example=samples.pipeline(), refers_to_engines=True,
    ),
    DefinitionKind(
        kind="schedule", path="schedules", about="a cron rule and the job or pipeline it starts",
        example=samples.schedule(), load_states=starts.schedule_states,
    ),
    DefinitionKind(
        kind="trigger", path="triggers", about="a rule that starts a job or pipeline for a matching event",
        example=samples.trigger(), load_states=starts.trigger_states,
    ),
    DefinitionKind(
        kind="channel", path="channels", about="a place to notify", example=samples.channels()[0],
    ),
    DefinitionKind(
        kind="subscription", path="subscriptions", about="which events go to which channel",
        example=samples.subscription(),
    ),
    DefinitionKind(
        kind="freeze", path="freezes", about="a stop of new work, everywhere or in part", example=samples.freeze(),
        refers_to_engines=True, stamp=_author, load_states=freezes.freeze_states,
    ),
    DefinitionKind(
        kind="move", path="moves", about="an Oozie coordinator that moved to an Airflow DAG, and when",
        example=samples.move(), refers_to_engines=True,
    ),
)  # fmt: skip
KINDS: Final[dict[str, DefinitionKind]] = {entry.kind: entry for entry in _ENTRIES}
