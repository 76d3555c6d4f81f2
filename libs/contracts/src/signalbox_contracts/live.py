"""Messages of the live feed: what a client asks for (a plan, a filter, or all it may see), and its events."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from signalbox_contracts.definitions.channel import EVENT_TYPES, event_type
from signalbox_contracts.definitions.trigger import pattern_matches

Word = Annotated[str, Field(min_length=1, max_length=255)]
MAX_SEQUENCE = 2**62
KNOWN_TYPES = (*EVENT_TYPES, "workflow.changed", "task.changed", "reprocessing.progress", "system.notification")


class Filter(BaseModel):
    """Which events. What is not given matches everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: Word | None = None
    """A job or pipeline, by its id."""
    user: Word | None = None
    """Who started the plan."""
    project: Word | None = None
    types: Annotated[tuple[Word, ...], Field(max_length=50)] = ()
    categories: Annotated[
        tuple[Literal["workflow", "task", "reprocessing", "system", "error"], ...], Field(max_length=5)
    ] = ()
    """`error` is every event of severity error or critical."""
    labels: Annotated[dict[Word, Word], Field(max_length=20)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_types(self) -> Self:
        for name in self.types:
            if not any(pattern_matches(event_type(name), known) for known in KNOWN_TYPES):
                raise ValueError(f"types: {name!r} is no event type: allowed are {', '.join(KNOWN_TYPES)}")
        return self

    def matches(self, event: dict[str, Any]) -> bool:
        """Whether an event is among these."""
        if self.workflow is not None and event["workflow_id"] != self.workflow:
            return False
        if self.user is not None and event["user_id"] != self.user.removeprefix("user:"):
            return False
        if self.project is not None and event["project"] != self.project:
            return False
        if self.types and not any(pattern_matches(event_type(name), event["type"]) for name in self.types):
            return False
        failure = event["severity"] in ("error", "critical")
        if self.categories and event["category"] not in self.categories and not (
            failure and "error" in self.categories
        ):  # fmt: skip
            return False
        return all(event["labels"].get(name) == value for name, value in self.labels.items())


class Subscribe(BaseModel):
    """One subscription: a plan (perhaps from a sequence on), the log of a task (from a byte on), or a filter; without
    any, all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=100)]
    plan: UUID | None = None
    task: UUID | None = None
    """Follow the log of this task."""
    attempt: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Which try of the task; the present one unless named."""
    after: Annotated[int, Field(ge=0, le=MAX_SEQUENCE)] | None = None
    filter: Filter = Filter()

    @model_validator(mode="after")
    def _after_needs_a_plan(self) -> Self:
        if self.after is not None and self.plan is None and self.task is None:
            raise ValueError("after: only a plan has a sequence, and a log offsets")
        if self.task is not None and (self.plan is not None or self.filter != Filter()):
            raise ValueError("task: a log has neither plan nor filter")
        if self.attempt is not None and self.task is None:
            raise ValueError("attempt: only a task has tries")
        return self


class Request(BaseModel):
    """One message of a client: exactly one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subscribe: Subscribe | None = None
    unsubscribe: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    ping: Annotated[str, Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(one is not None for one in (self.subscribe, self.unsubscribe, self.ping)) != 1:
            raise ValueError("exactly one of subscribe, unsubscribe and ping is needed")
        return self


class LiveEvent(BaseModel):
    """One transition of a plan or task, how far a reprocessing job is, or something about Signalbox itself."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    type: str
    category: Literal["workflow", "task", "reprocessing", "system"]
    severity: Literal["info", "warning", "error", "critical"]
    timestamp: datetime
    workflow_id: str | None
    """The job, pipeline or workflow that runs."""
    target: str | None
    run_id: UUID | None
    """The plan."""
    task_id: UUID | None
    user_id: str | None
    project: str
    labels: dict[str, str]
    name: str
    status: str
    version: int
    """Of the plan, of the task where there is one, or of the reprocessing job's state."""
    message: str
    data: dict[str, JsonValue]
    sequence: int
    """Counts the events of this plan, from 1 on."""


class LiveEvents(BaseModel):
    """One frame of `signalbox.v1`. Each event has `subscriptions` too: the ids it was wanted by."""

    events: list[LiveEvent]


class Place(BaseModel):
    """Where a subscription stands."""

    id: str
    sequence: int
    newest: int


class Subscribed(BaseModel):
    """A subscription holds."""

    subscribed: Place


class Snapshot(BaseModel):
    """What to read, and where the subscription goes on."""

    id: str
    plan: UUID
    sequence: int
    url: str


class SnapshotNeeded(BaseModel):
    """The events that were asked for are not kept any more."""

    snapshot_needed: Snapshot


class LogText(BaseModel):
    """What came of a log. `offset` is that after it: `after` of a subscription that goes on there."""

    id: str
    task_id: UUID
    attempt: int
    text: str
    offset: int
    ended: bool


class LogTextCame(BaseModel):
    """Lines of the log of a task that is followed."""

    log: LogText


class Refusal(BaseModel):
    """Which subscription, and why."""

    id: str | None
    type: str
    detail: str


class Refused(BaseModel):
    """A message was refused; the connection stays."""

    refused: Refusal


PATHS: Final = {
    "all": "/api/v1/ws", "user": "/api/v1/ws/user/{user_id}", "workflow": "/api/v1/ws/workflow/{workflow_id}",
    "user_workflow": "/api/v1/ws/user/{user_id}/workflow/{workflow_id}",
}  # fmt: skip
_SENT: Final = (LiveEvent, LiveEvents, Subscribed, SnapshotNeeded, LogTextCame, Refused)


def live_asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the live feed."""
    messages = {model.__name__: _message(model) for model in (*_SENT, Request)}
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, address in PATHS.items():
        parameters = {
            part: {"description": f"The {part[:-3]}."} for part in ("user_id", "workflow_id") if part in address
        }
        channels[name] = {"address": address, "messages": references, "parameters": parameters}
        for action, sent in (("send", _SENT), ("receive", (Request,))):
            operations[f"{name}_{action}"] = {
                "action": action, "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{model.__name__}"} for model in sent],
            }  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Signalbox live feed", "version": version,
            "description": "Events over WebSockets; the subprotocol is `signalbox.v1`. Generated.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "defaultContentType": "application/json", "channels": channels, "operations": operations,
        "components": {"messages": messages},
    }  # fmt: skip


def _message(model: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": model.__name__, "summary": (model.__doc__ or "").strip(), "payload": model.model_json_schema(),
    }  # fmt: skip
