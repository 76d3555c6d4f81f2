"""Golden samples: at least one event of every message, the same on every machine and day.

They are examples for people, and they are what compatibility is tested with, so each should fill in what it can.
"""

from dataclasses import dataclass
from typing import Any

from signalbox_contracts.envelope import Event
from signalbox_contracts.samples import commands, facts


@dataclass(frozen=True, slots=True)
class Sample:
    """One event; `case` tells several of one message apart and is empty for the first."""

    event: Event[Any]
    case: str = ""


def samples() -> tuple[Sample, ...]:
    """All samples, in the order of the topics table."""
    return tuple(Sample(event, case) for case, event in (*commands.events(), *facts.events()))
