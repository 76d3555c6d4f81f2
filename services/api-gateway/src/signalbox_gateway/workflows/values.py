"""What the workflows API takes and answers, and how it becomes a job or a plan. Pure."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from signalbox_contracts.definitions.definition import Labels, ShortText, Title
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.problems import Problem
from signalbox_contracts.definitions.template import is_template
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.vocabulary import Name
from signalbox_gateway.definitions.store import Saved
from signalbox_gateway.workflows.words import RunState

DagId = Annotated[str, Field(pattern=r"^[\w.-]+$", min_length=1, max_length=250)]
Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Parameters = Annotated[dict[Annotated[str, Field(min_length=1, max_length=250)], JsonValue], Field(max_length=500)]
RESERVED: Final = "signalbox"
"""The name in a run's `conf` under which the engine finds our run key."""
_BRACE: Final = "{{ '{' }}"


class WorkflowWrite(BaseModel):
    """A workflow as a caller writes it."""

    model_config = ConfigDict(extra="forbid")

    name: Title
    description: ShortText = ""
    dag_id: DagId
    engine: Name | None = None
    """An Airflow engine; without one the default."""
    parameters: Parameters = Field(default_factory=dict)
    """What each run starts with, unless it says otherwise."""
    project: Name = "default"
    labels: Labels = Field(default_factory=dict)


class Workflow(BaseModel):
    """A workflow: a job whose work is a DAG."""

    id: str
    name: str
    description: str
    dag_id: str
    engine: str | None
    parameters: dict[str, JsonValue]
    project: str
    labels: dict[str, str]
    version: int
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


class WorkflowPage(BaseModel):
    items: list[Workflow]
    next_cursor: str | None


class RunCreate(BaseModel):
    """What a run starts with: all of it is the DAG run's `conf`."""

    model_config = ConfigDict(extra="forbid")

    task_id: Number | None = None
    dataset_id: Number | None = None
    parameters: Parameters = Field(default_factory=dict)
    note: Annotated[str, Field(max_length=900)] = ""

    @model_validator(mode="after")
    def _check_fields_agree(self) -> "RunCreate":
        for field in ("task_id", "dataset_id"):
            given = getattr(self, field)
            if given is not None and self.parameters.get(field, given) != given:
                raise ValueError(f"parameters.{field} is not the {field} of this run: say it once")
        return self

    def conf(self) -> dict[str, JsonValue]:
        numbers: dict[str, JsonValue] = {"task_id": self.task_id, "dataset_id": self.dataset_id}
        return {**self.parameters, **{name: value for name, value in numbers.items() if value is not None}}


class RunTask(BaseModel):
    """One task of the DAG run, in Airflow's words."""

    task_id: str
    state: str
    try_number: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Run(BaseModel):
    """A run of a workflow: a plan with one task."""

    id: UUID
    workflow_id: str
    dag_id: str
    dag_run_id: str | None
    """Airflow's name of the run; null until it is known."""
    url: str | None
    """Airflow's own page of the run."""
    state: RunState
    task_id: int | None
    dataset_id: int | None
    parameters: dict[str, JsonValue] | None
    retry_of: UUID | None
    note: str
    triggered_by: str
    waiting: list[dict[str, Any]]
    error: str | None
    result: JsonValue
    tasks: list[RunTask]
    task: UUID | None
    """The task of ours that runs it: its log is at `/api/v1/tasks/{task}/logs`."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    trace_id: str | None


class RunPage(BaseModel):
    items: list[Run]
    next_cursor: str | None


class Control(BaseModel):
    """What shall become of a run."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["stop", "retry", "pause", "resume", "modify"]
    note: Annotated[str, Field(max_length=900)] = ""
    parameters: Parameters | None = None
    """Only for `modify`, which refuses it: Airflow cannot change what a run was started with."""


class DagChange(BaseModel):
    """Why a DAG is paused or goes on."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=900)] = ""


class DagChanged(BaseModel):
    """A call that was accepted: the operation says when Airflow did it."""

    dag_id: str
    engine: str
    is_paused: bool
    """What was asked for."""
    operation_id: UUID


class Controlled(BaseModel):
    """A control call that was accepted: it is on its way, the run shows when it has happened."""

    action: str
    run_id: UUID
    """The run it is about; of a retry, the new one."""
    operation_id: UUID | None
    run: Run


def job_of(id: str, written: WorkflowWrite) -> Job:
    """The job of a workflow."""
    work = AirflowWork(dag_id=written.dag_id, conf=literal(written.parameters))
    return Job(
        id=id, name=written.name, description=written.description, project=written.project, labels=written.labels,
        engine=written.engine, work=work,
    )  # fmt: skip


def workflow_of(saved: Saved) -> Workflow:
    """A job as a workflow."""
    job = saved.definition
    assert isinstance(job, Job)
    assert isinstance(job.work, AirflowWork)
    return Workflow(
        id=job.id, name=job.name, description=job.description, dag_id=job.work.dag_id, engine=job.engine,
        parameters=as_written(job.work.conf), project=job.project, labels=job.labels, version=saved.version,
        revision=saved.revision, created_at=saved.created_at, updated_at=saved.updated_at, updated_by=saved.updated_by,
    )  # fmt: skip


def is_workflow(definition: Any) -> bool:
    return isinstance(definition, Job) and isinstance(definition.work, AirflowWork)


def reserved_problems(field: str, parameters: dict[str, JsonValue]) -> list[Problem]:
    """What keeps these parameters from being a `conf`."""
    if RESERVED not in parameters:
        return []
    return [Problem(f"{field}.{RESERVED}", None, "is not allowed: Signalbox keeps the run's identity under this name")]


def literal(value: Any) -> Any:
    """The same JSON, written so that rendering its templates gives back every text as it is."""
    return _each_text(value, lambda text: text.replace("{", _BRACE) if is_template(text) else text)


def as_written(value: Any) -> Any:
    """The opposite of `literal`."""
    return _each_text(value, lambda text: text.replace(_BRACE, "{"))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(part, change) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_each_text(part, change) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value
