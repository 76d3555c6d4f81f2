"""In work."""

from typing import Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Value


class statesData(Value):
    pass


class statesStated(Event[statesData], frozen=True):
    type: Literal["signalbox.states.stub.v1"] = "signalbox.states.stub.v1"


MESSAGES = (statesStated,)
