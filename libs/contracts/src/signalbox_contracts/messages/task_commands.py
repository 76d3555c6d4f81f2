"""In work."""

from typing import Literal

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Value


class taskcommandsData(Value):
    pass


class taskcommandsStated(Event[taskcommandsData], frozen=True):
    type: Literal["signalbox.task_commands.stub.v1"] = "signalbox.task_commands.stub.v1"


MESSAGES = (taskcommandsStated,)
