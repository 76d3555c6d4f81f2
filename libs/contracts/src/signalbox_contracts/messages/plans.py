"""In work: the whole state of a plan."""

from typing import Annotated, Literal

from pydantic import Field

from signalbox_contracts.envelope import Event
from signalbox_contracts.states import PlanState
from signalbox_contracts.vocabulary import Instant, PlanId, Text, Value, Version


class PlanTransition(Value):
    """One move of a plan."""

    version: Version
    state: PlanState
    at: Instant
    reason: Text = ""


class PlanRecord(Value):
    """The whole state of a plan."""

    plan_id: PlanId
    version: Version
    state: PlanState
    transitions: Annotated[tuple[PlanTransition, ...], Field(max_length=200)] = ()


class PlanStated(Event[PlanRecord], frozen=True):
    """What became true of a plan."""

    type: Literal["signalbox.plan.state.v1"] = "signalbox.plan.state.v1"


MESSAGES = (PlanStated,)
