"""Selections: what must be looked up on an engine before a plan can be expanded."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from signalbox_contracts.definitions.definition import ShortText, Texts
from signalbox_contracts.definitions.move import DagId, Move
from signalbox_contracts.vocabulary import Count, Instant, Name, Value

ENGINE_PROPERTIES: Final = frozenset(
    {
        "oozie.wf.external.id", "oozie.wf.rerun.skip.nodes", "oozie.wf.rerun.failnodes", "user.name",
        "oozie.wf.application.path", "oozie.coord.application.path", "oozie.bundle.application.path",
        "signalbox.run.key",
    }
)  # fmt: skip
"""Properties that decide what runs and as whom: no rerun overrides them."""
OozieId = Annotated[str, Field(min_length=1, max_length=255)]


class RerunRules(Value):
    """How Oozie work is rerun. Output is kept unless `clean_up` is chosen, and then the preview lists what would go."""

    scope: Literal["all", "skip_successful", "only_failed", "nodes"] = "all"
    """Which nodes of a workflow run again. Any but `all` reruns the workflow of a coordinator's action in place."""
    nodes: Annotated[tuple[ShortText, ...], Field(max_length=1000)] = ()
    """The nodes to rerun with scope `nodes`."""
    policy: Literal["missing", "failed", "all"] = "failed"
    """Which of what was found: what never ran, what failed as well, or all that has ended."""
    properties: Texts = Field(default_factory=dict)
    refresh: bool = False
    clean_up: bool = False

    @field_validator("properties")
    @classmethod
    def _properties_can_be_sent(cls, properties: dict[str, str]) -> dict[str, str]:
        for name, value in properties.items():
            if not value:
                raise ValueError(f"{name}: an empty value is not allowed: Oozie drops it, and nothing can be unset")
            if name in ENGINE_PROPERTIES:
                raise ValueError(f"{name}: only Signalbox sets it; allowed are the job's own properties")
        return properties

    @model_validator(mode="after")
    def _nodes_fit_scope(self) -> Self:
        if (self.scope == "nodes") != bool(self.nodes):
            raise ValueError("nodes: needed with scope 'nodes', and with no other")
        if self.clean_up and self.scope != "all":
            raise ValueError("clean_up is only possible with scope 'all': only a rerun from the start writes all again")
        return self


class OozieWorkflows(Value):
    """Workflows by id, or by filter."""

    kind: Literal["oozie_workflows"] = "oozie_workflows"
    ids: Annotated[tuple[OozieId, ...], Field(max_length=200)] = ()
    name: ShortText | None = None
    user: ShortText | None = None
    phases: Annotated[tuple[ShortText, ...], Field(max_length=20)] = ()
    """Oozie's states, or our words for them, such as `failed`."""
    text: ShortText | None = None
    """Part of the name, the user or the id."""
    from_at: Instant | None = None
    until_at: Instant | None = None
    rerun: RerunRules = RerunRules()

    @model_validator(mode="after")
    def _selects_something(self) -> Self:
        if not (self.ids or self.name or self.user or self.phases or self.text or self.from_at):
            raise ValueError("ids, name, user, phases, text, from_at: at least one is needed to select workflows")
        return self


class OozieActions(Value):
    """Actions of coordinators, by number or by date; or of bundles: their coordinators × dates."""

    kind: Literal["oozie_actions"] = "oozie_actions"
    coordinators: Annotated[tuple[OozieId, ...], Field(max_length=200)] = ()
    bundles: Annotated[tuple[OozieId, ...], Field(max_length=200)] = ()
    numbers: Annotated[tuple[tuple[Count, Count], ...], Field(max_length=200)] = ()
    """Ranges of action numbers, both ends included."""
    dates: Annotated[tuple[tuple[Instant, Instant], ...], Field(max_length=200)] = ()
    """Ranges of nominal times, both ends included."""
    rerun: RerunRules = RerunRules()

    @model_validator(mode="after")
    def _selects_something(self) -> Self:
        if not (self.coordinators or self.bundles):
            raise ValueError("coordinators, bundles: at least one is needed to select actions")
        for first, last in (*self.numbers, *self.dates):
            if last < first:  # pyright: ignore[reportOperatorIssue]
                raise ValueError(f"range {first} to {last} is the wrong way round")
        return self


class EventFiles(Value):
    """Files of events to reprocess: all under one S3 or local path, as in the reprocessing API."""

    kind: Literal["event_files"] = "event_files"
    s3_path: Annotated[str, Field(pattern=r"^s3://[^/\s]+(/\S*)?$", max_length=2048)] | None = None
    local_path: Annotated[str, Field(pattern=r"^/", max_length=2048)] | None = None
    files: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], Field(max_length=200)] = ()
    stream_ids: Annotated[tuple[ShortText, ...], Field(max_length=200)] = ()
    connection_ids: Annotated[tuple[ShortText, ...], Field(max_length=200)] = ()
    date_from: Instant | None = None
    date_to: Instant | None = None
    start_file: Annotated[str, Field(max_length=2048)] | None = None
    start_line: Count | None = None
    limit: Count | None = None
    dry_run: bool = False
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    retry_attempts: Annotated[int, Field(ge=0, le=100)] | None = None
    distribution: Literal["modulo", "balanced"] = "modulo"

    @model_validator(mode="after")
    def _one_path(self) -> Self:
        if bool(self.s3_path) == bool(self.local_path):
            raise ValueError("s3_path and local_path: exactly one of them is needed")
        return self


Selection = Annotated[OozieWorkflows | OozieActions | EventFiles, Field(discriminator="kind")]


class RoutedActions(OozieActions):
    """Actions of coordinators as they are looked up: with the coordinators of the server that moved to Airflow."""

    moves: Annotated[tuple[Move, ...], Field(max_length=1000)] = ()
    denied_engines: Annotated[tuple[Name, ...], Field(max_length=1000)] = ()
    """Airflow engines on which the caller may start nothing."""


class AirflowRuns(Value):
    """The runs of a DAG at these logical dates. A date without a run is found as well."""

    kind: Literal["airflow_runs"] = "airflow_runs"
    dag_id: DagId
    dates: Annotated[tuple[Instant, ...], Field(min_length=1, max_length=1000)]


LookUp = Annotated[OozieWorkflows | RoutedActions | EventFiles | AirflowRuns, Field(discriminator="kind")]
"""What an executor looks up: a selection as it is asked for, or what follows from one."""
