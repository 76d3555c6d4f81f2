"""`triggers.v1` and `triggers.v1.<source>`: CloudEvents from outside, of any type. Others may write here only."""

from pydantic import Field, JsonValue

from signalbox_contracts.envelope import Attribute, Event


class TriggerEvent(Event[JsonValue], frozen=True):
    """Something happened elsewhere. Triggers decide whether it starts work.

    (source, id) identifies it. What CloudEvents leaves optional may be missing: subject, data. Data that is not JSON
    is in `data_base64`.
    """

    type: Attribute
    subject: str = Field(default="", max_length=512)
    datacontenttype: str = Field(default="application/json", max_length=255)
    data: JsonValue = None
    data_base64: str | None = None

    @property
    def key(self) -> str:
        """Events of one source are read in order."""
        return self.source

    @classmethod
    def type_name(cls) -> str:
        """Refused: an outside event brings its own type, so it is built by its constructor, not with `of`."""
        raise TypeError("a TriggerEvent has no type of its own: build it with TriggerEvent(type=...)")


MESSAGES = (TriggerEvent,)
