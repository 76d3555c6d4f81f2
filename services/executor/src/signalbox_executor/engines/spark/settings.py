"""Settings of Spark engines."""

from pydantic import Field

from signalbox_chassis.settings import allowed
from signalbox_executor.engines.kind import EngineSettings


class SparkEngineSettings(EngineSettings):
    spark_claim_seconds: float = Field(default=120.0, ge=1, le=3600)
    """How long a driver tries to claim its start with the API before it gives up and ends without running its
    application."""
    spark_keep_days: float = Field(default=30.0, ge=1, le=3650)
    """How long the records of Spark runs and their claims stay in the blob store."""
    spark_event_log_url: str = Field(
        default="",
        pattern=r"^((file:///|s3://)\S+)?$",
        json_schema_extra=allowed("`file:///folder` or `s3://bucket/folder`"),
    )
    """The folder of `spark.eventLog.dir`, as the executor reaches it. Stages are read there where no launcher of ours
    reports them. Empty: event logs are not read."""
