"""Engines: registered remote systems, how to reach them and how much they may be asked."""

from typing import Annotated, Literal

from pydantic import Field

from signalbox_contracts.definitions.definition import Definition, ShortText, Texts
from signalbox_contracts.definitions.rules import OnUnknown
from signalbox_contracts.definitions.secrets import SecretRef
from signalbox_contracts.vocabulary import Name, PerMinute, Seconds, Value

Url = Annotated[str, Field(pattern=r"^(https?|spark)://[^\s/?#]+\S*$", max_length=2048)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+\S*$", max_length=2048)]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#$]+(/[^\s?#$]*)?$", max_length=1024)]
"""An address that a path is added to."""


class HttpAccess(Value):
    """How HTTP requests to an engine prove who we are."""

    method: Literal["none", "basic", "bearer", "kerberos"] = "none"
    username: ShortText | None = None
    password: SecretRef | None = None
    token: SecretRef | None = None
    ca_certificate: SecretRef | None = None
    timeout_seconds: Annotated[Seconds, Field(gt=0, le=600)] = 30


class OozieConnection(Value):
    """An Oozie server, REST v2. `user` is who jobs run as with simple authentication."""

    kind: Literal["oozie"] = "oozie"
    url: HttpUrl
    user: ShortText = "oozie"
    access: HttpAccess = HttpAccess()
    webhdfs_url: HttpUrl | None = None
    """Where the sizes of `hdfs:` directories are read for the preview of a clean-up."""
    local_files: bool = False
    """Whether `file:` directories are on the executor's host and may be looked into for that."""
    notification_url: BaseUrl | None = None
    """Where Oozie reaches the API of Signalbox, to report that a job changed. None: no job is given a notification
    URL, and changes are seen by polling alone."""


class FlinkConnection(Value):
    """A Flink session cluster's JobManager."""

    kind: Literal["flink"] = "flink"
    url: HttpUrl
    access: HttpAccess = HttpAccess()


class SparkConnection(Value):
    """A Spark standalone master, or Livy. `master_url` is what drivers connect to (`spark://host:7077`)."""

    kind: Literal["spark"] = "spark"
    api: Literal["standalone", "livy"] = "standalone"
    url: HttpUrl
    """The master's REST server (port 6066), or Livy."""
    web_url: HttpUrl | None = None
    """The master's web pages; None: port 8080 of the host of `url`."""
    master_url: Url | None = None
    start_url: HttpUrl | None = None
    """Where drivers reach the API of Signalbox, to claim their start. None: no start fence, and what may have been
    started twice waits in UNKNOWN."""
    conf: Texts = Field(default_factory=dict)
    """Spark settings of each application here; those of its own win."""
    spark_version: ShortText | None = None
    access: HttpAccess = HttpAccess()


class KubernetesConnection(Value):
    """One namespace of a cluster. `config` is `local` for in-cluster, a path the operator set, or a secret.

    `server` with `token` takes the place of `config`.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    config: Annotated[str, Field(pattern=r"^(local|/\S+|secret://[A-Za-z0-9._-]+)$", max_length=1024)] = "local"
    context: ShortText | None = None
    server: Annotated[str, Field(pattern=r"^https://[^\s/?#@]+/?$", max_length=2048)] | None = None
    token: SecretRef | None = None
    ca_certificate: SecretRef | None = None
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "default"
    node_selector: Texts = Field(default_factory=dict)
    max_parallel_workers: Annotated[int, Field(ge=1, le=10_000)] = 10


class AirflowConnection(Value):
    """An Airflow deployment; `auto` asks it for its version."""

    kind: Literal["airflow"] = "airflow"
    url: HttpUrl
    version: Literal["auto", "2", "3"] = "auto"
    access: HttpAccess = HttpAccess()


class ProcessConnection(Value):
    """A host that runs processes. Only executors with this `host_id` claim or observe; none means any one host."""

    kind: Literal["process"] = "process"
    host_id: Name | None = None


class ScriptedConnection(Value):
    """The scripted engine of tests, demonstrations and benchmarks."""

    kind: Literal["scripted"] = "scripted"
    url: HttpUrl
    remembers_keys: bool = True
    """False: an engine that cannot tell copies of a submit apart. Each is a run, known by its handle alone."""


class CheckConnection(Value):
    """Checks of executors themselves: addresses, files, processes. `host_id` as for processes."""

    kind: Literal["check"] = "check"
    host_id: Name | None = None


Connection = Annotated[
    OozieConnection
    | FlinkConnection
    | SparkConnection
    | KubernetesConnection
    | AirflowConnection
    | ProcessConnection
    | ScriptedConnection
    | CheckConnection,
    Field(discriminator="kind"),
]


class EngineLimits(Value):
    """How much an engine may be given. CLAIMED, SUBMITTING, RUNNING and UNKNOWN tasks all count."""

    concurrency: Annotated[int, Field(ge=0, le=100_000)] = 10
    starts_per_minute: Annotated[PerMinute, Field(le=1_000_000)] | None = None
    starts_at_once: Annotated[int, Field(ge=1, le=100_000)] = 10


class Breaker(Value):
    """When to stop asking an engine that does not answer, and when to try again."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    open_seconds: Annotated[Seconds, Field(gt=0, le=3600)] = 30


class Engine(Definition):
    """A registered engine. `group` serialises claims: engines of different groups scale apart."""

    kind: Literal["engine"] = "engine"
    connection: Connection
    group: Name = "default"
    limits: EngineLimits = EngineLimits()
    breaker: Breaker = Breaker()
    on_unknown: OnUnknown = "hold"
    observe_every_seconds: Annotated[Seconds, Field(ge=0.1, le=3600)] = 5
    key_retention_seconds: Annotated[Seconds, Field(ge=60)] = 86_400
    """How long the engine surely remembers a run key; must exceed the time a late copy of a submit may travel."""
    intake: Literal["open", "paused", "draining"] = "open"
    """*paused*: nothing new starts; *draining*: likewise, until the last running task ended."""
    production: bool = False
