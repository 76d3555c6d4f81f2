"""Which service reads and writes which topic. Broker access lists and `asyncapi.json` are made from this table.

Every service also writes `dead-letters.v1`: the notice that it parked something.
"""

from dataclasses import dataclass
from typing import Final

NOTICES: Final = "dead-letters.v1"


@dataclass(frozen=True, slots=True)
class Service:
    """One service: the topics it reads and those it writes, by name."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


SERVICES: Final = (
    Service(
        "api-gateway",
        # operations.v1: for what the gateway itself parked
        ("plans.v1", "tasks.v1", "states.v1", "ticks.v1", "deliveries.v1", NOTICES, "operations.v1"),
        ("requests.v1", "operations.v1", "definitions.v1", "triggers.v1", "states.v1", NOTICES),
    ),
    Service(
        "planner",
        ("requests.v1", "operations.v1", "ticks.v1", "triggers.v1", "tasks.v1", "definitions.v1"),
        ("plans.v1", "task-commands.v1", "states.v1", NOTICES),
    ),
    Service("executor", ("task-commands.v1", "operations.v1", "definitions.v1"), ("tasks.v1", "states.v1", NOTICES)),
    Service("scheduler", ("definitions.v1", "operations.v1"), ("ticks.v1", "states.v1", NOTICES)),
    Service(
        "notifier",
        ("plans.v1", "tasks.v1", "states.v1", "ticks.v1", NOTICES, "operations.v1", "definitions.v1"),
        ("deliveries.v1", "states.v1", NOTICES),
    ),
    Service("reprocessor", ("tasks.v1", "definitions.v1"), ("tasks.v1", NOTICES)),
)
