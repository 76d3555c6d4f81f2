"""`dead-letters.v1`: messages a service put aside, and what became of them. They stay in its own table."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Count, Instant, Name, Text, Value

PARKED_BYTES = 65_536
"""How much of a parked message's value its notice carries."""

HeaderText = Annotated[str, Field(max_length=1024)]


class ParkedHeader(Value):
    """One record header; `text` where it is UTF-8, else `base64`; the first 1 KiB."""

    name: Annotated[str, Field(max_length=255)]
    text: HeaderText | None = None
    base64: HeaderText | None = None


class DeadLetterParkedData(Value):
    """Where the message was, why it was parked, and its beginning."""

    dead_letter_id: UUID
    service: Name
    topic: Annotated[str, Field(max_length=255)]
    partition: Count
    offset: Count
    key: Annotated[str, Field(max_length=1024)] | None = None
    headers: Annotated[tuple[ParkedHeader, ...], Field(max_length=50)] = ()
    event_id: Annotated[str, Field(max_length=512)] | None = None
    event_type: Annotated[str, Field(max_length=512)] | None = None
    error: Text
    attempts: Count = 1
    value_bytes: Count
    value_start: Annotated[str, Field(max_length=4 * -(-PARKED_BYTES // 3))] | None = None
    """Base64 of the first 64 KiB; none when the record had no value."""
    parked_at: Instant


class DeadLetterParked(Event[DeadLetterParkedData], frozen=True):
    """A message was put aside."""

    type: Literal["signalbox.dead_letter.parked.v1"] = "signalbox.dead_letter.parked.v1"

    @property
    def key(self) -> str:
        """Notices of one service are read in order."""
        return self.data.service


class DeadLetterOutcome(StrEnum):
    """What became of a parked message: handled, given up, or failed again and parked as before."""

    REDRIVEN = "REDRIVEN"
    DROPPED = "DROPPED"
    PARKED = "PARKED"


class DeadLetterStateData(Value):
    """Where a parked message is now. `error` says why it failed again."""

    dead_letter_id: UUID
    service: Name
    state: DeadLetterOutcome
    attempts: Count
    error: Text | None = None


class DeadLetterState(Event[DeadLetterStateData], frozen=True):
    """A parked message was handled, given up, or failed again."""

    type: Literal["signalbox.dead_letter.state.v1"] = "signalbox.dead_letter.state.v1"

    @property
    def key(self) -> str:
        """Notices of one service are read in order."""
        return self.data.service


MESSAGES = (DeadLetterParked, DeadLetterState)
