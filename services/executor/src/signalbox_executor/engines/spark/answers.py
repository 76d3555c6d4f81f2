"""What a standalone master and its workers answer, as values: bounded, and with the fields that are used."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field, JsonValue, ValidationError

from signalbox_contracts.vocabulary import Count, Value

log = logging.getLogger(__name__)
DRIVER_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$"
DriverId = Annotated[str, Field(pattern=DRIVER_ID)]
_Word = Annotated[str, Field(max_length=255)]
_Millis = Annotated[int, Field(ge=0, lt=10**14)]


class Submitted(Value):
    """The answer to a create, a kill or a status request. Spark answers 200 also where `success` is false."""

    success: bool = False
    submission_id: Annotated[str, Field(alias="submissionId", max_length=255)] = ""
    message: str = ""
    driver_state: Annotated[str | None, Field(alias="driverState")] = None
    server_version: Annotated[str, Field(alias="serverSparkVersion", max_length=64)] = ""


class Driver(Value):
    """One driver of the master's list."""

    id: DriverId
    state: _Word
    starttime: _Millis = 0
    cores: Count = 0
    memory: Count = 0
    """In MiB."""
    worker: _Word | None = None
    mainclass: Annotated[str, Field(max_length=4096)] = ""

    @property
    def started_at(self) -> datetime | None:
        return datetime.fromtimestamp(self.starttime / 1000, UTC) if self.starttime else None


class WorkerEntry(Value):
    """One worker of the master's list."""

    id: _Word
    webuiaddress: Annotated[str, Field(max_length=2048)] = ""
    cores: Count = 0
    coresfree: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    memory: Count = 0
    memoryfree: Annotated[int, Field(ge=-(2**53), lt=2**53)] = 0
    state: _Word = ""


class Application(Value):
    """One application of the master's list: `name` is the run key unless the application set another."""

    id: Annotated[str, Field(max_length=255)]
    name: Annotated[str, Field(max_length=4096)] = ""
    state: _Word = ""
    """WAITING: it has no executors."""
    memoryperexecutor: Count = 0
    """In MiB."""


class Cluster(Value):
    """The master's own page, with every driver it remembers."""

    status: _Word = ""
    workers: tuple[JsonValue, ...] = ()
    activedrivers: tuple[JsonValue, ...] = ()
    completeddrivers: tuple[JsonValue, ...] = ()
    activeapps: tuple[JsonValue, ...] = ()
    completedapps: tuple[JsonValue, ...] = ()

    def drivers(self) -> dict[str, Driver]:
        """Drivers by id. One that cannot be read does not hide the others."""
        found: dict[str, Driver] = {}
        for entry in (*self.completeddrivers, *self.activedrivers):
            try:
                driver = Driver.model_validate(entry)
            except ValidationError as error:
                log.warning("a driver of the master's list cannot be read: %s", error.errors()[:1])
                continue
            found[driver.id] = driver
        return found

    def worker_entries(self) -> dict[str, WorkerEntry]:
        """Workers by id; one that cannot be read does not hide the others."""
        found: dict[str, WorkerEntry] = {}
        for entry in self.workers:
            try:
                worker = WorkerEntry.model_validate(entry)
            except ValidationError as error:
                log.warning("a worker of the master's list cannot be read: %s", error.errors()[:1])
                continue
            found[worker.id] = worker
        return found

    def applications(self) -> dict[str, str]:
        """Ids of applications by name."""
        return {found.name: found.id for found in _applications((*self.completedapps, *self.activeapps))}

    def waiting_applications(self) -> dict[str, Application]:
        """Those that run and have no executors, by id."""
        return {found.id: found for found in _applications(self.activeapps) if found.state == "WAITING"}


def _applications(entries: Iterable[JsonValue]) -> Iterator[Application]:
    """Those that can be read; one that cannot does not hide the others."""
    for entry in entries:
        with suppress(ValidationError):
            yield Application.model_validate(entry)
