"""Settings of the gateway."""

from typing import Literal, Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from signalbox_chassis.security.egress import EgressSettings
from signalbox_chassis.security.vault import VaultSettings
from signalbox_chassis.settings import allowed
from signalbox_gateway.http.addresses import networks
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
    token_cache_seconds: float = Field(default=2.0, ge=0, le=5)
    """How long a token that was good, and its roles, are taken as good without asking the database: a change takes that
    long at most."""
    token_issuer: str = Field(default="signalbox", min_length=1, max_length=200)
    """`iss` of access tokens. Those of another issuer are refused."""
    access_token_seconds: int = Field(default=600, ge=5, le=3600)
    """How long an access token is good."""
    session_days: int = Field(default=30, ge=1, le=365)
    """How long a login lasts at most, however often it is refreshed."""
    signing_key_days: int = Field(default=30, ge=1, le=365)
    """After how many days access tokens are signed with a fresh key. The one before is good for another hour."""
    password_hashes_at_once: int = Field(default=1, ge=1, le=64)
    """How many passwords are hashed at once; up to 32 more wait, and the rest is answered 429."""
    registration: Literal["", "on", "off"] = ""
    """Whether anybody may register. Empty: only where `api_host` is a loopback address."""
    registration_role: Literal["", "viewer", "user", "operator"] = "user"
    """The role of who registers. Empty: none, until an administrator binds one."""
    trusted_proxies: str = ""
    """Addresses and networks of proxies whose `X-Forwarded-For` is believed, separated by commas."""
    secure_cookies: bool = False
    """Whether browsers send session cookies over TLS only: for a proxy in front that ends TLS."""
    answer_seconds: float = Field(default=60.0, ge=0.1, le=3600)
    """How long a plan's owners may be silent before the gateway queries them. A request or a command without an answer
    is sent again after a sixth or a third of it. Doubled each time."""
    audit_days: int = Field(default=400, ge=1, le=36_500)
    """How long entries of the audit trail stay."""
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
    anonymous_role: Literal["", "viewer", "user", "operator", "admin"] = ""
    """The role of callers without a token: `viewer` reads, `user` runs jobs, `operator` changes definitions as well,
    `admin` does anything. Refused unless `api_host` is a loopback address. Empty: they are answered 401."""

    @property
    def may_register(self) -> bool:
        return self.registration == "on" or (self.registration == "" and is_loopback(self.api_host))

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: str) -> str:
        try:
            networks(value)
        except ValueError:
            raise ValueError("only addresses and networks such as 10.0.0.0/8 are allowed") from None
        return value

    @model_validator(mode="after")
    def _anonymous_on_loopback_alone(self) -> Self:
        if self.anonymous_role and not is_loopback(self.api_host):
            raise ValueError(
                f"anonymous_role {self.anonymous_role!r} is refused: api_host {self.api_host!r} is no loopback address"
            )
        return self
