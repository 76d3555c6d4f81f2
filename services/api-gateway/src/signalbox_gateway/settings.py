"""Settings of the gateway."""

from typing import Literal, Self

from pydantic import AliasChoices, Field, model_validator

from signalbox_chassis.security.egress import EgressSettings
from signalbox_chassis.security.vault import VaultSettings
from signalbox_chassis.settings import allowed
from signalbox_gateway.http.anonymous import is_loopback


class GatewaySettings(VaultSettings, EgressSettings):
    api_host: str = "127.0.0.1"
    """Address the API listens on."""
    api_port: int = Field(
        default=8080, ge=0, le=65535, validation_alias=AliasChoices("SIGNALBOX_API_PORT", "api_port", "PORT")
    )
    """Port of the API; 0 takes a free one and logs it. `PORT` is read as well."""
    plan_body_bytes: int = Field(default=67_108_864, ge=1024, le=1_073_741_824)
    """Largest body of `POST /plans`; every other route takes 1 MiB at most."""
    token_cache_seconds: float = Field(default=2.0, ge=0, le=60)
    """How long a token that was good is taken as good without asking the database: revoking takes that long at most."""
    hear_seconds: float = Field(default=60.0, ge=0.1, le=3600)
    """How long a plan's owners may be silent before they are asked; a request or a command that nobody answers is said
    again after a sixth or a third of it. Doubled each time."""
    trace_store_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", json_schema_extra=allowed("`http://…` or `https://…`")
    )
    """Where traces are read from (`GET <url>/traces/<id>`). Empty: `signalbox trace` finds none."""
    airflow_url: str = Field(
        default="", pattern=r"^(https?://[^\s/?#]+\S*)?$",
        validation_alias=AliasChoices("SIGNALBOX_AIRFLOW_URL", "airflow_url", "AIRFLOW_URL"),
        json_schema_extra=allowed("`http://…` or `https://…`"),
    )  # fmt: skip
    """The Airflow of the engine `airflow`, registered at start: workflows that name no engine run there. Executors need
    it too, with user and password. `AIRFLOW_URL` is read as well."""
    flink_jobmanager_url: str = Field(
        default="", pattern=r"^(https?://[^\s/?#]+\S*)?$",
        validation_alias=AliasChoices("SIGNALBOX_FLINK_JOBMANAGER_URL", "flink_jobmanager_url", "FLINK_JOBMANAGER_URL"),
        json_schema_extra=allowed("`http://…` or `https://…`"),
    )  # fmt: skip
    """The JobManager of the engine `flink`, registered at start: Flink jobs that name no engine run there.
    `FLINK_JOBMANAGER_URL` is read as well."""
    live_urls: str = Field(
        default="", pattern=r"^(https?://[^\s,]+(,https?://[^\s,]+)*)?$",
        json_schema_extra=allowed("`http://host:port`, several separated by commas"),
    )  # fmt: skip
    """Live feeds of the notifiers, which WebSockets are forwarded to. Empty: there is no live feed."""
    live_origins: str = ""
    """Origins of pages beside the API's own that may open WebSockets: `https://console.example`, separated by commas.
    """
    anonymous_role: Literal["", "viewer", "operator", "admin"] = ""
    """What callers without a token may: `viewer` reads, `operator` runs and schedules jobs as well, `admin` does
    anything. Refused unless `api_host` is a loopback address. Empty: they are answered 401."""

    @model_validator(mode="after")
    def _anonymous_on_loopback_alone(self) -> Self:
        if self.anonymous_role and not is_loopback(self.api_host):
            raise ValueError(
                f"anonymous_role {self.anonymous_role!r} is refused: api_host {self.api_host!r} is no loopback address"
            )
        return self
