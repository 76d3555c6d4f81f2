"""The messages and topics of the example service."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from signalbox_contracts.envelope import Event
from signalbox_contracts.topics import Topic

SOURCE = "signalbox/example"


class Add(BaseModel, frozen=True):
    """Add entry number `number` to the counter. `filler` only makes the message larger."""

    number: int
    filler: str = ""


class CounterAdd(Event[Add], frozen=True):
    type: Literal["signalbox.counter.add.v1"] = "signalbox.counter.add.v1"


class CounterForget(Event[Add], frozen=True):
    """A second message on the control topic, so that batches mix types."""

    type: Literal["signalbox.counter.forget.v1"] = "signalbox.counter.forget.v1"


class State(BaseModel, frozen=True):
    total: int
    number: int
    filler: str = ""


class CounterState(Event[State], frozen=True):
    type: Literal["signalbox.counter.state.v1"] = "signalbox.counter.state.v1"


COMMANDS = Topic("counter-commands.v1", "counter", "control", (CounterAdd, CounterForget), unknown="skip")
COUNTERS = Topic("counters.v1", "counter", "facts", (CounterState,))
TOPICS = (COMMANDS, COUNTERS)


def add(counter: str, number: int, *, time: datetime, filler: str = "", traceparent: str | None = None) -> CounterAdd:
    return CounterAdd.of(
        Add(number=number, filler=filler),
        subject=counter,
        source=SOURCE,
        time=time,
        id=f"add:{counter}:{number}",
        traceparent=traceparent,
    )
