"""What commands have in common."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from signalbox_contracts.vocabulary import Person, Text, Value

Target = Annotated[str, Field(pattern=r"^[a-z_]+:.+$", max_length=255)]
"""What an operation is about: `engine:oozie-prod`, `task:<id>`, `dead_letters:planner`."""


class OperationData(Value):
    """What every operation says: its own id, who asked, and why."""

    operation_id: UUID
    actor: Person
    reason: Text = ""
