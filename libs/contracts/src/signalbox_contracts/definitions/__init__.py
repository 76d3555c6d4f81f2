"""Definitions: what people save. The models validate themselves, purely, so that gateway and planner always agree."""

from typing import Annotated, Any, Final

from pydantic import Field

from signalbox_contracts.definitions.channel import Channel, Subscription
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.problems import InvalidDefinition, Problem, problems_in, read
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.definitions.trigger import Trigger

AnyDefinition = Annotated[
    Engine | Job | Pipeline | Schedule | Trigger | Channel | Subscription | Freeze, Field(discriminator="kind")
]

KINDS: Final[dict[str, type[Any]]] = {
    "engine": Engine,
    "job": Job,
    "pipeline": Pipeline,
    "schedule": Schedule,
    "trigger": Trigger,
    "channel": Channel,
    "subscription": Subscription,
    "freeze": Freeze,
}

__all__ = [
    "KINDS",
    "AnyDefinition",
    "Channel",
    "Engine",
    "Freeze",
    "InvalidDefinition",
    "Job",
    "Pipeline",
    "Problem",
    "Schedule",
    "Subscription",
    "Trigger",
    "problems_in",
    "read",
    "secret_refs",
]
