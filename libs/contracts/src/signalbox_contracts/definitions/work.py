"""What an engine is asked to do: one form of work per kind of engine. Any text may be a template."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from signalbox_contracts.definitions.definition import ShortText, Texts
from signalbox_contracts.vocabulary import MAX_COUNT, Count, Instant, Seconds, TaskId, Value

Arguments = Annotated[tuple[Annotated[str, Field(max_length=16_384)], ...], Field(max_length=1000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ProcessWork(Value):
    """A program on a host. The file named by `$SIGNALBOX_RESULT` becomes the result."""

    kind: Literal["process"] = "process"
    argv: Annotated[Arguments, Field(min_length=1)]
    environment: Texts = Field(default_factory=dict)
    working_directory: ShortText | None = None
    stop_grace_seconds: Annotated[Seconds, Field(le=3600)] = 10


class FlinkWork(Value):
    """A Flink job from a JAR. Each pair of `config` becomes the arguments `--key value`, before `arguments`."""

    kind: Literal["flink"] = "flink"
    jar_url: Annotated[str, Field(max_length=2048)] | None = None
    """None means the data-processor's JAR."""
    jar_sha256: Sha256 | None = None
    entry_class: ShortText | None = None
    config: Texts = Field(default_factory=dict)
    arguments: Arguments = ()
    parallelism: Annotated[int, Field(ge=1, le=32_768)] | None = None
    flink_configuration: Texts = Field(default_factory=dict)
    savepoint_path: Annotated[str, Field(max_length=2048)] | None = None
    allow_non_restored_state: bool = False
    stop_with_savepoint: bool = False


class SparkWork(Value):
    """A Spark application: a JAR with its `main_class`, or a Python file.

    `application` is a path that the workers have, or a URL that they can read.
    """

    kind: Literal["spark"] = "spark"
    application: Annotated[str, Field(min_length=1, max_length=2048)]
    main_class: ShortText | None = None
    arguments: Arguments = ()
    conf: Texts = Field(default_factory=dict)
    environment: Texts = Field(default_factory=dict)
    jars: Arguments = ()
    py_files: Arguments = ()
    files: Arguments = ()
    allow_failed_jobs: bool = False
    """Whether a driver that ends with 0 has succeeded although the last job of its application failed."""


class Toleration(Value):
    """A Kubernetes toleration."""

    key: ShortText | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: ShortText | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


ObjectName = Annotated[str, Field(max_length=200, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
"""Of an object of Kubernetes, with room for a number behind it."""
JobName = Annotated[str, Field(max_length=52, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
"""Of a Job: with the numbers of the attempt and of an index behind it, it is a host's name of at most 63 characters."""


class KubernetesWork(Value):
    """A Kubernetes Job; more than one completion makes it an Indexed Job."""

    kind: Literal["kubernetes"] = "kubernetes"
    image: Annotated[str, Field(min_length=1, max_length=1024)]
    command: Arguments = ()
    arguments: Arguments = ()
    environment: Texts = Field(default_factory=dict)
    job_name: JobName | None = None
    """Name of the Job; attempts after the first append `-n`. None: the run key. A Job of another run that has the name
    is in the way: the run is refused."""
    files: Texts = Field(default_factory=dict)
    """Mounted from an owned ConfigMap."""
    secret_files: Texts = Field(default_factory=dict)
    """Mounted from an owned Secret; each value is a `secret://` reference or a template with one."""
    files_name: ObjectName | None = None
    """Name of the ConfigMap of `files`; attempts after the first append `-n`. None: made from the run key."""
    secret_files_name: ObjectName | None = None
    """Name of the Secret of `secret_files`, likewise."""
    files_at: ShortText = "/config/job"
    completions: Annotated[int, Field(ge=1, le=10_000)] = 1
    parallelism: Annotated[int, Field(ge=1, le=10_000)] | None = None
    retries_per_index: Annotated[int, Field(ge=0, le=100)] = 0
    max_failed_indexes: Annotated[int, Field(ge=0, le=10_000)] | None = None
    node_selector: Texts = Field(default_factory=dict)
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=50)] = ()
    requests: Texts = Field(default_factory=dict)
    limits: Texts = Field(default_factory=dict)
    service_account: ShortText | None = None
    labels: Texts = Field(default_factory=dict)
    keep_seconds: Annotated[Seconds, Field(ge=3600)] = 86_400
    """How long the finished object stays; deleting it earlier would free its name for a late copy of the submit."""
    indexes: Annotated[tuple[Annotated[int, Field(ge=0, lt=10_000)], ...], Field(max_length=1000)] = ()
    """Run only these of an Indexed Job's indexes: those that failed, for example. Empty: all of `completions`."""
    no_retry_exit_codes: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(max_length=100)] = ()
    """Exit codes that fail an index at once, whatever is left of its retries."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: Annotated[tuple[ShortText, ...], Field(max_length=20)] = ()
    """Names of Secrets that are in the namespace already."""
    stop_grace_seconds: Annotated[Seconds, Field(le=3600)] = 30
    pod_template: dict[str, JsonValue] = Field(default_factory=dict)
    """Merged into the Job's `spec.template` for what the other fields do not have, in the words of Kubernetes. Items of
    lists with names (containers, volumes, variables) are merged by name; the container of the work is called `main`."""


class OozieExpectation(Value):
    """What a rerun expected of the world; a target that moved since is skipped as *changed*."""

    run: Count | None = None
    last_modified: ShortText | None = None
    phase: ShortText | None = None
    """Oozie's own word."""
    external_id: ShortText | None = None
    """The workflow a coordinator's action had."""
    after_tasks: Annotated[tuple[TaskId, ...], Field(max_length=20)] = ()
    """Tasks whose failures are retried here: a target that one of them moved is as expected."""


class OozieWork(Value):
    """A new Oozie job (`submit`) or the rerun of one that exists.

    Clean-up is off unless `clean_up` says otherwise. `failnodes` is never sent: the engine computes which nodes to skip
    from `scope` when it reruns, and `skip_nodes` is for callers who name them.
    """

    kind: Literal["oozie"] = "oozie"
    mode: Literal["submit", "rerun"] = "submit"
    object: Literal["workflow", "coordinator", "bundle"] = "workflow"
    application_path: Annotated[str, Field(max_length=2048)] | None = None
    properties: Texts = Field(default_factory=dict)
    target: Annotated[str, Field(max_length=255)] | None = None
    """The Oozie id to rerun; for one coordinator action its id with `@number`."""
    skip_nodes: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    scope: Literal["all", "skip_successful", "only_failed", "nodes"] | None = None
    """Which nodes of a workflow are rerun; None: all but `skip_nodes`."""
    nodes: Annotated[tuple[ShortText, ...], Field(max_length=1000)] = ()
    """The nodes to rerun with scope `nodes`."""
    refresh: bool = False
    clean_up: bool = False
    expected: OozieExpectation | None = None

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Self:
        if self.mode == "rerun" and not self.target:
            raise ValueError("target is missing: mode 'rerun' needs the id of what is rerun")
        if self.mode == "submit" and not self.application_path:
            raise ValueError("application_path is missing: mode 'submit' needs it")
        return self


class AirflowWork(Value):
    """A run of an Airflow DAG (`trigger`), or the failed tasks of one once more (`clear`)."""

    kind: Literal["airflow"] = "airflow"
    mode: Literal["trigger", "clear"] = "trigger"
    dag_id: Annotated[str, Field(min_length=1, max_length=250)]
    conf: dict[str, JsonValue] = Field(default_factory=dict)
    """What the run is started with. The name `signalbox` in it is ours."""
    logical_date: ShortText | None = None
    note: ShortText | None = None
    dag_run_id: Annotated[str, Field(max_length=250)] | None = None
    """The run whose failed tasks are cleared."""
    expected_queued_at: Instant | None = None
    """When the run to clear was queued last, as it was seen; one that was queued since is left alone."""
    clear_tasks: Literal["failed", "all"] = "failed"
    """Which tasks of the run are cleared."""
    after_tasks: Annotated[tuple[TaskId, ...], Field(max_length=20)] = ()
    """Tasks whose failures are retried here: the run that one of them started or cleared is cleared again."""

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Self:
        if self.mode == "clear" and not self.dag_run_id:
            raise ValueError("dag_run_id is missing: mode 'clear' needs the id of the run")
        return self


class ScriptedWork(Value):
    """What the scripted engine shall do: phases, delays, failures, lost answers."""

    kind: Literal["scripted"] = "scripted"
    script: dict[str, JsonValue] = Field(default_factory=dict)


Address = Annotated[str, Field(min_length=1, max_length=2048)]
PathText = Annotated[str, Field(min_length=1, max_length=4096)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class HttpCheck(Value):
    """An address answers with one of these status codes; without any, with one from 200 to 299."""

    type: Literal["http"] = "http"
    url: Address
    status: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(max_length=20)] = ()
    contains: Annotated[str, Field(max_length=1024)] = ""
    """A text in the first 64 KiB of the answer."""


class TcpCheck(Value):
    """Something accepts connections."""

    type: Literal["tcp"] = "tcp"
    host: ShortText
    port: Port


class PostgresCheck(Value):
    """A PostgreSQL server accepts connections, as `pg_isready` sees it: without a password."""

    type: Literal["postgres"] = "postgres"
    host: ShortText
    port: Port = 5432


class NameNodeCheck(Value):
    """An HDFS NameNode is operational, out of safe mode, and has so many live DataNodes (its JMX page)."""

    type: Literal["namenode"] = "namenode"
    url: Address
    min_live_datanodes: Annotated[int, Field(ge=0, le=100_000)] = 1
    allow_safe_mode: bool = False


class FileCheck(Value):
    """A file is there. Only folders that the operator lets processes work in can be looked at."""

    type: Literal["file"] = "file"
    path: PathText
    min_bytes: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0


class S3Check(Value):
    """An object is in S3: `s3://bucket/key`. The operator's `AWS_*` variables say which S3, and as whom."""

    type: Literal["s3"] = "s3"
    url: Address
    min_bytes: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0


class ProcessCheck(Value):
    """A process is alive, or has ended with exit code 0: the number is in `pid_file`, the code in `exit_code_file`.

    Both files are in folders that the operator lets processes work in.
    """

    type: Literal["process"] = "process"
    pid_file: PathText
    exit_code_file: PathText | None = None


Check = Annotated[
    HttpCheck | TcpCheck | PostgresCheck | NameNodeCheck | FileCheck | S3Check | ProcessCheck,
    Field(discriminator="type"),
]


class CheckWork(Value):
    """A question about the world that needs no program: it succeeds when the answer is yes.

    It is asked every `every_seconds` until it is, for `wait_seconds`. With 0 it is asked once.
    """

    kind: Literal["check"] = "check"
    check: Check
    wait_seconds: Annotated[Seconds, Field(le=604_800)] = 0
    every_seconds: Annotated[Seconds, Field(ge=0.1, le=3600)] = 2
    timeout_seconds: Annotated[Seconds, Field(ge=0.1, le=300)] = 5
    """How long one try may take."""


Work = Annotated[
    ProcessWork | FlinkWork | SparkWork | KubernetesWork | OozieWork | AirflowWork | ScriptedWork | CheckWork,
    Field(discriminator="kind"),
]
