"""In work."""

from typing import Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Value


class deliveriesData(Value):
    pass


class deliveriesStated(Event[deliveriesData], frozen=True):
    type: Literal["signalbox.deliveries.stub.v1"] = "signalbox.deliveries.stub.v1"


MESSAGES = (deliveriesStated,)
