"""Definitions: what people save. The models validate themselves, purely, so that gateway and planner always agree."""

from typing import Annotated, Any, Final

from pydantic import Field

from signalbox_contracts.definitions.channel import Channel, Subscription
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.problems import InvalidDefinition, Problem, problems_in, read
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.definitions.trigger import Trigger

AnyDefinition = Annotated[
    Engine | Job | Pipeline | Schedule | Trigger | Channel | Subscription | Freeze | Move, Field(discriminator="kind")
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
    "move": Move,
}

__all__ = [
    "KINDS",
    "AnyDefinition",
    "Channel",
    "Engine",
    "Freeze",
    "InvalidDefinition",
    "Job",
    "Move",
    "Pipeline",
    "Problem",
    "Schedule",
    "Subscription",
    "Trigger",
    "problems_in",
    "read",
    "secret_refs",
]
