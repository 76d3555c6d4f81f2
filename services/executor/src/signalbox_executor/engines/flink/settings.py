"""Settings of Flink engines."""

from pydantic import AliasChoices, Field

from signalbox_chassis.settings import allowed
from signalbox_executor.engines.kind import EngineSettings


class FlinkEngineSettings(EngineSettings):
    data_processor_url: str = Field(
        default="http://data-processor:8080", pattern=r"^(https?://[^\s/?#]+\S*)?$",
        validation_alias=AliasChoices("SIGNALBOX_DATA_PROCESSOR_URL", "data_processor_url", "DATA_PROCESSOR_URL"),
        json_schema_extra=allowed("`http://…` or `https://…`"),
    )  # fmt: skip
    """Where the JAR of a Flink job without `jar_url` comes from: this URL if it ends in `.jar`, else
    `/data-processor.jar` below it. `DATA_PROCESSOR_URL` is read as well."""
    flink_jar_max_bytes: int = Field(default=512 * 1024 * 1024, ge=1024, le=8 * 1024**3)
    """Largest JAR that is fetched for a Flink job."""
    flink_jar_seconds: float = Field(default=600.0, ge=1, le=7200)
    """Time limit for fetching a JAR."""
    flink_jar_keep_hours: float = Field(default=24.0, ge=1, le=8760)
    """How long a JAR that Signalbox uploaded stays on a JobManager. Running jobs do not need it any more."""
