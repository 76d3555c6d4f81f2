"""The small words every message is made of: instants, ids, bounded text, open enumerations.

Nothing here reads a clock or makes a random number: a value is right or wrong by itself.
"""

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self, cast
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticKnownError, to_json


def in_utc(instant: datetime) -> datetime:
    """The same instant, said in UTC."""
    if instant.tzinfo is UTC:
        return instant
    if not instant.utcoffset():  # what pydantic reads from "Z": the same instant, without the cost of a conversion
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("the instant lies outside the calendar once said in UTC") from None


_WRITTEN_INSTANT: Final = TypeAdapter(datetime)


def _in_instant_form(value: Any) -> Any:
    """Refuse numbers, also as text: pydantic reads `20260331` as seconds since 1970.

    A text is read here, because strict mode takes no text from a validator, although it takes one from JSON.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or value[4:5] != "-":
        raise ValueError("an instant of the form 2026-03-31T00:00:00Z is needed")
    try:
        return _WRITTEN_INSTANT.validate_python(value)
    except ValidationError as error:
        (problem,) = error.errors()
        raise PydanticKnownError(cast("Any", problem["type"]), problem.get("ctx")) from None


Instant = Annotated[AwareDatetime, BeforeValidator(_in_instant_form), AfterValidator(in_utc)]
"""A moment, always aware and always UTC once read."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_date(text: str) -> date:
    """The date of `2026-03-31`. Raises `ValueError` for every other form, such as `20260331` or `2026-W14-2`."""
    if not _DATE.fullmatch(text):
        raise ValueError("a date of the form 2026-03-31 is needed")
    return date.fromisoformat(text)


def _in_date_form(value: Any) -> Any:
    """Refuse other forms than `2026-03-31`: pydantic reads `86400` as a day of 1970, and takes instants."""
    if isinstance(value, str):
        return parse_date(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError("a date of the form 2026-03-31 is needed")


Date = Annotated[date, BeforeValidator(_in_date_form)]
"""A day, written as `2026-03-31`."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""The id of a definition, a project or a service. It has no colon, so `kind:id` can be split."""

ItemKey = Annotated[str, Field(min_length=1, max_length=255)]
"""An item's name inside its plan, unique there: `oozie-prod/0000123-C@17`, `load/3`."""

Text = Annotated[str, Field(max_length=2000)]
"""A sentence for a person: a reason, an error. Longer text belongs to the log."""

Person = Annotated[str, Field(min_length=1, max_length=255)]
"""Who asked: `user:ann`, `key:ci`, `schedule:nightly`, `trigger:new-files`, `service:planner`."""

MAX_COUNT: Final = 2**53 - 1
"""The largest whole number that every reader of JSON has exactly; PostgreSQL's bigint takes it too."""
MAX_INTEGER: Final = 2**31 - 1
"""The largest number of PostgreSQL's integer."""
MAX_SECONDS: Final = 31_536_000
"""A year: what the database, the event loop and every engine can add to an instant."""

Version = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""Grows by at least one with every change of an aggregate. Readers ignore what is not newer; gaps are normal."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Position = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
"""A place in a list, or a number of things there."""
Ordinal = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
"""A number that counts from one: an attempt, a page, the version of a definition."""
ExitCode = Annotated[int, Field(ge=-(2**31), le=MAX_INTEGER)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
"""At most a year."""
PerMinute = Annotated[float, Field(ge=0.001, allow_inf_nan=False)]
"""A rate: at least one in about 17 hours. A rate of nearly nothing would be a pause that no one sees."""
PlanId = UUID
TaskId = UUID


class Value(BaseModel):
    """Part of a message: immutable; fields a newer writer added are skipped."""

    model_config = ConfigDict(frozen=True, extra="ignore")


MAX_ITEMS: Final = 200
"""How many items of one plan one message may carry."""

RESULT_BYTES: Final = 16_384
"""How large the JSON of a step's result may be."""


def _small(result: JsonValue) -> JsonValue:
    if result is not None and len(to_json(result)) > RESULT_BYTES:
        raise ValueError(f"takes {len(to_json(result))} bytes as JSON: at most {RESULT_BYTES} are allowed")
    return result


Result = Annotated[JsonValue, AfterValidator(_small)]
"""What a step hands to the next ones: JSON of at most 16 KiB."""


class OpenEnum(StrEnum):
    """An enumeration that may grow inside `.v1`.

    A value this reader does not know becomes `OTHER`, so an old reader survives a new writer. Each subclass must
    define `OTHER`. `OTHER` is for reading only: who passes a message on passes on the bytes, not the model.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls("OTHER") if isinstance(value, str) else None

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        known = [member.value for member in cls if member.value != "OTHER"]
        return {"type": "string", "title": cls.__name__, "x-known-values": known}
