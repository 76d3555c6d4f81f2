"""In work."""

from typing import Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Value


class tasksData(Value):
    pass


class tasksStated(Event[tasksData], frozen=True):
    type: Literal["signalbox.tasks.stub.v1"] = "signalbox.tasks.stub.v1"


MESSAGES = (tasksStated,)
