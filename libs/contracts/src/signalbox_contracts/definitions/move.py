"""Moves: from when on the dates of an Oozie coordinator live in an Airflow DAG."""

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator
from pydantic_core import to_json

from signalbox_contracts.definitions.definition import Definition, ParamName
from signalbox_contracts.definitions.problems import InvalidFields
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.definitions.template import is_template, texts
from signalbox_contracts.vocabulary import Instant, Name, Value

MAX_CONF_BYTES: Final = 8192
MAX_NAMES: Final = 230
"""Characters of engine and DAG together: an item's key names both and the date."""
DagId = Annotated[str, Field(max_length=250, pattern=r"^[A-Za-z0-9_.-]+$")]


class LogicalDate(Value):
    """From a nominal time of the coordinator to the logical date of the DAG run: both offsets are added.

    A day is one of the coordinator's time zone: it may have 23 or 25 hours.
    """

    offset_days: Annotated[int, Field(ge=-366, le=366)] = 0
    offset_minutes: Annotated[int, Field(ge=-527_040, le=527_040)] = 0

    def of(self, nominal_at: datetime, zone: tzinfo) -> datetime:
        """The logical date of a nominal time, in the zone of `nominal_at`. Raises `OverflowError`."""
        local = nominal_at.astimezone(zone).replace(tzinfo=None) + timedelta(days=self.offset_days)
        shifted = local.replace(tzinfo=zone) if self.offset_days else nominal_at
        return shifted.astimezone(nominal_at.tzinfo) + timedelta(minutes=self.offset_minutes)


class Move(Definition):
    """A coordinator that moved to a DAG. Its actions before `moved_at` live in Oozie, those from then on in Airflow."""

    kind: Literal["move"] = "move"
    engine: Name
    """The Oozie server."""
    coordinator: Annotated[str, Field(min_length=1, max_length=255)]
    """Name or id. A move by id goes before one by name."""
    airflow_engine: Name
    dag_id: DagId
    moved_at: Instant
    """The first nominal time that lives in Airflow, or any instant after the last one that lives in Oozie."""
    logical_date: LogicalDate = LogicalDate()
    conf: dict[str, JsonValue] = Field(default_factory=dict)
    """What every run is started with."""
    nominal_time_key: ParamName | None = None
    """The name in `conf` under which a run gets the nominal time, as `2026-03-24T00:00:00Z`. None: it does not."""

    @model_validator(mode="after")
    def _runs_can_start(self) -> Self:
        if problems := list(self._problems()):
            raise InvalidFields(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str]]:
        if (size := len(self.airflow_engine) + len(self.dag_id)) > MAX_NAMES:
            yield "dag_id", f"with airflow_engine it has {size} characters: at most {MAX_NAMES} are allowed"
        if "signalbox" in self.conf:
            yield "conf.signalbox", "is not allowed: Signalbox puts the run key under this name"
        if self.nominal_time_key == "signalbox" or self.nominal_time_key in self.conf:
            yield "nominal_time_key", f"{self.nominal_time_key!r} has a value in conf already"
        if (size := len(to_json(self.conf))) > MAX_CONF_BYTES:
            yield "conf", f"has {size} bytes as JSON: at most {MAX_CONF_BYTES} are allowed"
        for place, text in texts(self.conf, "conf"):
            if is_template(text) or secret_refs(text):
                yield place, "a template or a secret is not allowed: runs are given the text as it is"

    def conf_of(self, nominal_at: datetime) -> dict[str, JsonValue]:
        """The `conf` of the run of this nominal time."""
        if self.nominal_time_key is None:
            return self.conf
        return {**self.conf, self.nominal_time_key: f"{nominal_at:%Y-%m-%dT%H:%M:%SZ}"}
