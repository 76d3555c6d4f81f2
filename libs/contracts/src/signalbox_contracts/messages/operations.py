"""`operations.v1`: commands about anything but a plan's own course. Each names its operation, who asked and why.

An operation is answered by `operation.result` on `states.v1`, or by the fact it brings about.
The key is the target, `kind:id`: `engine:oozie-prod`, `task:5f…`, `dead_letter:planner`.
"""

from typing import Literal
from uuid import UUID

from pydantic import Field

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Name, Person, Text, Value


class OperationData(Value):
    """What every operation says."""

    operation_id: UUID
    actor: Person
    reason: Text = ""


class DeadLetterRedriveData(OperationData):
    """Feed parked messages of one service again to the one handler that failed."""

    service: Name
    dead_letter_ids: tuple[UUID, ...] = Field(min_length=1, max_length=200)


class DeadLetterRedrive(Event[DeadLetterRedriveData], frozen=True):
    """Handle parked messages once more."""

    type: Literal["signalbox.dead_letter.redrive.v1"] = "signalbox.dead_letter.redrive.v1"


class DeadLetterDropData(OperationData):
    """Give parked messages of one service up, for the stated reason."""

    service: Name
    dead_letter_ids: tuple[UUID, ...] = Field(min_length=1, max_length=200)


class DeadLetterDrop(Event[DeadLetterDropData], frozen=True):
    """Give parked messages up."""

    type: Literal["signalbox.dead_letter.drop.v1"] = "signalbox.dead_letter.drop.v1"


MESSAGES = (DeadLetterRedrive, DeadLetterDrop)
