"""Settings of Airflow engines."""

from pydantic import AliasChoices, Field, SecretStr

from signalbox_chassis.settings import allowed
from signalbox_executor.engines.kind import EngineSettings


class AirflowSettings(EngineSettings):
    airflow_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", json_schema_extra=allowed("`http://…` or `https://…`"),
        validation_alias=AliasChoices("SIGNALBOX_AIRFLOW_URL", "airflow_url", "AIRFLOW_URL"),
    )  # fmt: skip
    """The default Airflow. Engines with this address and no access of their own log in with the two settings below.
    `AIRFLOW_URL` is read as well."""
    airflow_username: str = Field(
        default="", validation_alias=AliasChoices("SIGNALBOX_AIRFLOW_USERNAME", "airflow_username", "AIRFLOW_USERNAME")
    )
    """User at the default Airflow. `AIRFLOW_USERNAME` is read as well."""
    airflow_password: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("SIGNALBOX_AIRFLOW_PASSWORD", "airflow_password", "AIRFLOW_PASSWORD"),
    )
    """The user's password. It never leaves the executor. `AIRFLOW_PASSWORD` is read as well."""
