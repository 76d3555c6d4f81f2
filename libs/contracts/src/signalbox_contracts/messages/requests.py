"""In work: requests about a plan."""

from typing import Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.operations import OperationData
from signalbox_contracts.vocabulary import PlanId


class PlanOperationData(OperationData):
    """A command about one plan."""

    plan_id: PlanId


class PlanPause(Event[PlanOperationData], frozen=True):
    """Start nothing new of this plan."""

    type: Literal["signalbox.plan.pause.v1"] = "signalbox.plan.pause.v1"


class PlanResume(Event[PlanOperationData], frozen=True):
    """Go on with a paused plan."""

    type: Literal["signalbox.plan.resume.v1"] = "signalbox.plan.resume.v1"


MESSAGES = (PlanPause, PlanResume)
