"""What a definition refers to: other definitions, and secrets. Pure.

The gateway keeps these references, so a save can check that each target exists and a delete can name its users.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from signalbox_contracts.definitions.channel import Channel, Subscription
from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.definitions.trigger import Trigger

SECRET = "secret"
"""The kind of a reference to a secret. Secrets are not definitions: the vault keeps them."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """`kind` and `id` of the target, and the field that names it (`steps.0.engine`)."""

    kind: str
    id: str
    field: str


def references(definition: Definition) -> tuple[Reference, ...]:
    """Every definition and secret this definition needs. One target may appear under several fields."""
    secrets = (Reference(SECRET, name, "") for name in sorted(secret_refs(definition)))
    return (*_definitions(definition), *secrets)


def _definitions(definition: Any) -> Iterator[Reference]:
    match definition:
        case Job(engine=str(engine)):
            yield Reference("engine", engine, "engine")
        case Pipeline():
            for number, step in enumerate(definition.steps):
                if step.engine is not None:
                    yield Reference("engine", step.engine, f"steps.{number}.engine")
        case Schedule() | Trigger():
            yield Reference(definition.target.kind, definition.target.id, "target.id")
        case Channel(fallback=str(fallback)):
            yield Reference("channel", fallback, "fallback")
        case Subscription():
            yield Reference("channel", definition.channel, "channel")
        case Freeze():
            for number, engine in enumerate(definition.engines):
                yield Reference("engine", engine, f"engines.{number}")
        case Move():
            yield Reference("engine", definition.engine, "engine")
            yield Reference("engine", definition.airflow_engine, "airflow_engine")
        case _:
            return
