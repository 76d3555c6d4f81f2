"""In work."""

from typing import Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Value


class ticksData(Value):
    pass


class ticksStated(Event[ticksData], frozen=True):
    type: Literal["signalbox.ticks.stub.v1"] = "signalbox.ticks.stub.v1"


MESSAGES = (ticksStated,)
