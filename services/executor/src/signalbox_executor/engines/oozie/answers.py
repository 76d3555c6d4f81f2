"""The shapes of Oozie's answers, as far as they are read. What Oozie adds is ignored; one bad entry is left out."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from signalbox_contracts.vocabulary import in_utc

log = logging.getLogger(__name__)
MAX_TEXT: Final = 1_000_000
"""The longest text of one field that is read: an action's configuration can be large."""


def _instant(value: Any) -> Any:
    """Oozie says `Thu, 01 Jan 2009 00:00:00 GMT`."""
    if not isinstance(value, str):
        return value
    instant = parsedate_to_datetime(value)
    return in_utc(instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant)


OozieTime = Annotated[datetime, BeforeValidator(_instant)]
Id = Annotated[str, Field(min_length=1, max_length=255)]
Word = Annotated[str, Field(max_length=64)]
LongText = Annotated[str, Field(max_length=MAX_TEXT)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class NodeAnswer(_Answer):
    """One action of a workflow, control nodes included."""

    name: Id
    type: Word
    status: Word
    error_code: LongText | None = Field(None, alias="errorCode")
    error_message: LongText | None = Field(None, alias="errorMessage")
    external_id: LongText | None = Field(None, alias="externalId")
    external_status: LongText | None = Field(None, alias="externalStatus")
    started_at: OozieTime | None = Field(None, alias="startTime")
    ended_at: OozieTime | None = Field(None, alias="endTime")


class WorkflowAnswer(_Answer):
    """A workflow, as lists have it (without `conf` and `actions`) or whole."""

    id: Id
    app_name: LongText | None = Field(None, alias="appName")
    app_path: LongText | None = Field(None, alias="appPath")
    external_id: LongText | None = Field(None, alias="externalId")
    run: Annotated[int, Field(ge=0, lt=2**53)] = 0
    status: Word
    user: LongText | None = None
    parent_id: LongText | None = Field(None, alias="parentId")
    conf: Annotated[str, Field(max_length=16_000_000)] | None = None
    created_at: OozieTime | None = Field(None, alias="createdTime")
    started_at: OozieTime | None = Field(None, alias="startTime")
    ended_at: OozieTime | None = Field(None, alias="endTime")
    modified_text: Word | None = Field(None, alias="lastModTime")
    console_url: LongText | None = Field(None, alias="consoleUrl")
    actions: tuple[NodeAnswer, ...] = ()


class CoordinatorActionAnswer(_Answer):
    """One action of a coordinator; it has no start, no end and no run number."""

    id: Id
    number: Annotated[int, Field(ge=1, alias="actionNumber")]
    status: Word
    nominal_at: OozieTime | None = Field(None, alias="nominalTime")
    external_id: Id | None = Field(None, alias="externalId")
    modified_text: Word | None = Field(None, alias="lastModifiedTime")
    missing: LongText | None = Field(None, alias="missingDependencies")
    error_code: LongText | None = Field(None, alias="errorCode")
    error_message: LongText | None = Field(None, alias="errorMessage")


class CoordinatorAnswer(_Answer):
    """A coordinator with one page of its actions; `total` counts all of them."""

    id: Annotated[Id, Field(alias="coordJobId")]
    name: LongText | None = Field(None, alias="coordJobName")
    path: LongText | None = Field(None, alias="coordJobPath")
    status: Word
    user: LongText | None = None
    started_at: OozieTime | None = Field(None, alias="startTime")
    end_at: OozieTime | None = Field(None, alias="endTime")
    next_at: OozieTime | None = Field(None, alias="nextMaterializedTime")
    pause_at: OozieTime | None = Field(None, alias="pauseTime")
    created_at: OozieTime | None = Field(None, alias="createdTime")
    frequency: Word | None = None
    time_unit: Word | None = Field(None, alias="timeUnit")
    time_zone: Word | None = Field(None, alias="timeZone")
    concurrency: int | None = None
    bundle_id: Id | None = Field(None, alias="bundleId")
    conf: Annotated[str, Field(max_length=16_000_000)] | None = None
    total: int = 0
    actions: tuple[CoordinatorActionAnswer, ...] = ()


class BundleAnswer(_Answer):
    """A bundle with its coordinators, which come without actions and in no order."""

    id: Annotated[Id, Field(alias="bundleJobId")]
    name: LongText | None = Field(None, alias="bundleJobName")
    path: LongText | None = Field(None, alias="bundleJobPath")
    status: Word
    user: LongText | None = None
    created_at: OozieTime | None = Field(None, alias="createdTime")
    conf: Annotated[str, Field(max_length=16_000_000)] | None = None
    coordinators: Annotated[tuple[CoordinatorAnswer, ...], Field(alias="bundleCoordJobs")] = ()


class IdAnswer(_Answer):
    """What a submit or an external-id look-up answers; empty or absent if there is none."""

    id: Annotated[str, Field(max_length=MAX_TEXT)] = ""


class StatusAnswer(_Answer):
    status: Word


class RunsAnswer(_Answer):
    """`show=allruns`: the workflows a coordinator action ever had, oldest first."""

    workflows: tuple[IdAnswer, ...] = ()


class ModeAnswer(_Answer):
    system_mode: Annotated[Word, Field(alias="systemMode")]


class VersionAnswer(_Answer):
    build_version: Annotated[Word, Field(alias="buildVersion")]


class ListAnswer(_Answer):
    """A list whose entries are read one by one, so that a bad one hides no other."""

    total: int = 0
    workflows: list[Any] = Field(default_factory=list[Any])
    coordinators: list[Any] = Field(default_factory=list[Any], alias="coordinatorjobs")
    bundles: list[Any] = Field(default_factory=list[Any], alias="bundlejobs")


_A = TypeVar("_A", bound=_Answer)


def entries(kind: type[_A], raw: Iterable[Any]) -> list[_A]:
    """The entries of a list that can be read; the others are logged and left out."""
    found: list[_A] = []
    for entry in raw:
        try:
            found.append(kind.model_validate(entry))
        except (ValidationError, ValueError, TypeError) as error:
            log.warning("an entry of a list cannot be read and is left out: %s", str(error)[:300])
    return found
