"""Requests that start plans, as models."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from signalbox_contracts.definitions.definition import Params, PlanLabels, Title
from signalbox_contracts.definitions.rules import OnUnknown, Retries, Rules, TimeLimits
from signalbox_contracts.messages.requests import EngineSelection, RequestedItem
from signalbox_contracts.vocabulary import Date, Name, Text

MAX_PLAN_ITEMS: Final = 100_000
Version = Annotated[int, Field(ge=1, le=2_147_483_647)]


class PlanStart(BaseModel):
    """What every start may set."""

    model_config = ConfigDict(frozen=True)

    rules: Rules = Rules()
    event_date: Date | None = None
    reason: Text = ""
    labels: PlanLabels = Field(default_factory=dict)


class JobStart(PlanStart):
    """What a start may set beside the job."""

    params: Params = Field(default_factory=dict)
    version: Version | None = None
    from_savepoint: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """Flink jobs: the path of the savepoint to go on from, or `latest` for the newest one of the job."""


class JobChoice(BaseModel):
    """A job, and which of its versions; the newest unless named."""

    id: Name
    version: Version | None = None


class PlanFields(PlanStart):
    """A plan of items, of one job, or of what selections find; without the items, which are read one by one."""

    name: Title | None = None
    job: JobChoice | None = None
    params: Params = Field(default_factory=dict)
    selections: Annotated[list[EngineSelection], Field(min_length=1, max_length=50)] | None = None
    """What is looked up on engines, and rerun."""
    preview: bool = False
    """Stop at PREVIEWED until somebody applies it. Of selections only."""
    retries: Retries = Retries()
    time_limits: TimeLimits = TimeLimits()
    on_unknown: OnUnknown | None = None


class PlanCreate(PlanFields):
    """A plan of items, of one job, or of what selections find on engines: exactly one of the three."""

    items: Annotated[list[RequestedItem], Field(min_length=1, max_length=MAX_PLAN_ITEMS)] | None = None
    """`{key, engine, work}` each."""
