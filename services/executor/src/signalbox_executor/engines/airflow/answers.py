"""What Airflow answers, as values. Fields that we do not use are skipped, so that a newer Airflow can be read."""

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, TypeVar

from pydantic import Field, JsonValue, ValidationError

from signalbox_contracts.messages.tasks import Phase
from signalbox_contracts.vocabulary import Instant, Value

log = logging.getLogger(__name__)
_Id = Annotated[str, Field(min_length=1, max_length=250)]
_V = TypeVar("_V", bound=Value)

SUCCESS: Final = "success"
FAILED: Final = "failed"
QUEUED: Final = "queued"
RUNNING: Final = "running"
ENDED_STATES: Final = frozenset({SUCCESS, FAILED})
"""A run in one of these has ended; a clear opens it again."""


class Token(Value):
    access_token: Annotated[str, Field(min_length=1, max_length=65_536)]


class Version(Value):
    version: str


class DagRun(Value):
    """One run of a DAG."""

    dag_id: _Id
    dag_run_id: _Id
    state: str
    conf: dict[str, JsonValue] | None = None
    note: str | None = None
    logical_date: Instant | None = None
    queued_at: Instant | None = None
    """A real clear sets a new one. 2.x does not say it."""
    start_date: Instant | None = None
    end_date: Instant | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STATES

    @property
    def generation(self) -> Instant | None:
        """What a clear changes: when the run was queued. 2.x does not say it: there, the end of an ended run."""
        return self.queued_at or (self.end_date if self.ended else None)


class DagRuns(Value):
    dag_runs: list[JsonValue]
    total_entries: int | None = None


class TaskInstance(Value):
    """One task of a run, in its newest try."""

    task_id: _Id
    dag_id: str = ""
    dag_run_id: str = ""
    map_index: int = -1
    state: str | None = None
    try_number: Annotated[int, Field(ge=0, lt=2**53)] = 0
    start_date: Instant | None = None
    end_date: Instant | None = None
    operator: str | None = None

    @property
    def label(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


TASK_PHASES: Final[Mapping[str, Phase]] = {
    "running": Phase.RUNNING,
    "deferred": Phase.RUNNING,
    "up_for_reschedule": Phase.RUNNING,
    "restarting": Phase.RUNNING,
    "success": Phase.SUCCEEDED,
    "failed": Phase.FAILED,
    "up_for_retry": Phase.FAILED,
}
"""What a try's state means. The states that are left out belong to tasks that did not begin."""
TASK_ENDED_STATES: Final = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})
"""A try in one of these writes no more."""


class TaskInstances(Value):
    task_instances: list[JsonValue]
    total_entries: int | None = None


class Dag(Value):
    """A DAG as Airflow knows it."""

    dag_id: _Id
    is_paused: bool | None = None
    has_import_errors: bool | None = None
    max_active_runs: int | None = None


class Dags(Value):
    dags: list[JsonValue]
    total_entries: int | None = None


class ImportErrors(Value):
    import_errors: list[JsonValue]


class DagTask(Value):
    """A task of a DAG's definition."""

    task_id: _Id
    downstream_task_ids: list[str] = Field(default_factory=list[str])


class DagTasks(Value):
    tasks: list[JsonValue]


class XComEntry(Value):
    task_id: _Id
    map_index: int = -1
    value: JsonValue = None


class XComEntries(Value):
    xcom_entries: list[JsonValue]


def each(kind: type[_V], rows: list[JsonValue]) -> Iterator[_V]:
    """Those rows that can be read: a bad one does not hide the others."""
    for row in rows:
        try:
            yield kind.model_validate(row, strict=False)
        except ValidationError as error:
            log.warning("a %s of Airflow cannot be read: %s", kind.__name__, str(error)[:500])
