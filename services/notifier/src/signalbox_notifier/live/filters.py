"""What a client follows: a plan, what a filter matches, or all it may see. Pure."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from signalbox_contracts.definitions.channel import EVENT_TYPES, event_type
from signalbox_contracts.definitions.trigger import pattern_matches

Word = Annotated[str, Field(min_length=1, max_length=255)]
MAX_SEQUENCE = 2**62
KNOWN_TYPES = (*EVENT_TYPES, "workflow.changed", "task.changed")


class Filter(BaseModel):
    """Which events. What is not given matches everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: Word | None = None
    """A job or pipeline, by its id."""
    user: Word | None = None
    """Who started the plan."""
    project: Word | None = None
    types: Annotated[tuple[Word, ...], Field(max_length=50)] = ()
    categories: Annotated[tuple[Literal["workflow", "task", "system", "error"], ...], Field(max_length=4)] = ()
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
    """One subscription: a plan (perhaps from a sequence on), or a filter; without either, all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=100)]
    plan: UUID | None = None
    after: Annotated[int, Field(ge=0, le=MAX_SEQUENCE)] | None = None
    filter: Filter = Filter()

    @model_validator(mode="after")
    def _after_needs_a_plan(self) -> Self:
        if self.after is not None and self.plan is None:
            raise ValueError("after: only a plan has a sequence")
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
