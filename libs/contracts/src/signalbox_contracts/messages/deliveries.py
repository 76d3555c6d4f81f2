"""`deliveries.v1`: what became of messages to people and other systems. The key is the channel id."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from signalbox_contracts.definitions.definition import Title
from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Count, Instant, Name, OpenEnum, Ordinal, PlanId, Text, Value, Version


class DeliveryState(OpenEnum):
    """Where a delivery is. *dead*: given up; it can be sent again by hand."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    RETRYING = "retrying"
    DEAD = "dead"
    DROPPED = "dropped"
    OTHER = "OTHER"


class Try(Value):
    """One try to send."""

    number: Ordinal
    at: Instant
    state: DeliveryState
    answer: Text = ""


class DeliveryRecord(Value):
    """The whole state of a delivery; `tries` are those since the last fact."""

    delivery_id: UUID
    version: Version
    channel_id: Name
    subscription_id: Name | None = None
    incident_id: UUID | None = None
    plan_id: PlanId | None = None
    event_id: Annotated[str, Field(max_length=512)] | None = None
    event_type: Annotated[str, Field(max_length=512)] | None = None
    title: Title
    state: DeliveryState
    attempts: Count = 0
    tries: Annotated[tuple[Try, ...], Field(max_length=100)] = ()
    next_try_at: Instant | None = None
    sent_at: Instant | None = None
    created_at: Instant


class DeliveryStated(Event[DeliveryRecord], frozen=True):
    """What is true of a delivery now. The subject is the delivery."""

    type: Literal["signalbox.delivery.state.v1"] = "signalbox.delivery.state.v1"

    @property
    def key(self) -> str:
        """Deliveries of one channel are read in order."""
        return self.data.channel_id


MESSAGES = (DeliveryStated,)
