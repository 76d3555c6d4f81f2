"""Settings of the gateway."""

import os
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator

from signalbox_chassis import setting_aliases
from signalbox_chassis.security.egress import EgressSettings
from signalbox_chassis.security.vault import VaultSettings
from signalbox_chassis.settings import allowed
from signalbox_contracts.definitions.definition import Texts
from signalbox_gateway.http.addresses import networks
from signalbox_gateway.http.anonymous import is_loopback


class GatewaySettings(VaultSettings, EgressSettings):
    aliases: ClassVar = {**VaultSettings.aliases, "redis_url": setting_aliases.redis_url}
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
    """How long an access token is valid."""
    session_days: int = Field(default=30, ge=1, le=365)
    """How long a login lasts at most, however often it is refreshed."""
    signing_key_days: int = Field(default=30, ge=1, le=365)
    """After how many days access tokens are signed with a fresh key. The one before is good for another hour."""
    password_hashes_at_once: int = Field(default=1, ge=1, le=64)
    """How many passwords are hashed at once; up to 32 more wait, others are answered 429."""
    registration: Literal["", "on", "off"] = ""
    """Whether anybody may register. Empty: only where `api_host` is a loopback address."""
    registration_role: Literal["", "viewer", "user", "operator"] = "user"
    """The role of people who register. Empty: none, until an administrator binds one."""
    oidc_issuer: str = Field(
        default="", pattern=r"^(https?://[^\s?#@]+)?$", json_schema_extra=allowed("`https://id.example`")
    )
    """The OpenID provider for logins, with the issuer name of its metadata. Empty: there is none."""
    oidc_client_id: str = Field(default="", max_length=500)
    """The client id at the provider."""
    oidc_client_secret: SecretStr = SecretStr("")
    """The client's secret. Empty: a public client, with PKCE alone."""
    oidc_redirect_url: str = Field(
        default="", pattern=r"^(https?://[^\s?#@]+/api/v1/auth/oidc/callback)?$",
        json_schema_extra=allowed("`https://signalbox.example/api/v1/auth/oidc/callback`"),
    )  # fmt: skip
    """The redirect URL, exactly as registered at the provider."""
    oidc_scopes: str = Field(
        default="openid profile email", pattern=r"^openid( [!-~]+)*$", max_length=500,
        json_schema_extra=allowed("`openid`, and more words after it"),
    )  # fmt: skip
    """The scopes requested from the provider."""
    oidc_name: str = Field(default="OpenID", min_length=1, max_length=100)
    """The provider's name in the console."""
    oidc_role: Literal["", "viewer", "user", "operator"] = ""
    """The role given at the first login with the provider. Empty: none, until an administrator binds one."""
    redis_url: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("SIGNALBOX_REDIS_URL", "redis_url", "REDIS_URL"),
        json_schema_extra=allowed("`redis://…` or `rediss://…`"),
    )  # fmt: skip
    """Redis that counts rate limits for all gateways. Empty, or while it is down: each gateway counts alone.
    `REDIS_URL`, or `REDIS_HOST` with `REDIS_PORT`, is read as well."""
    calls_per_minute: int = Field(default=60_000, ge=10, le=10_000_000)
    """How many calls an account may make."""
    address_calls_per_minute: int = Field(default=120_000, ge=10, le=10_000_000)
    """How many calls may come from one address (a /64 network of IPv6)."""
    logins_per_minute: int = Field(default=30, ge=1, le=100_000)
    """How many attempts to log in one address has, and one account from one address in five minutes."""
    max_connections: int = Field(default=2000, ge=10, le=100_000)
    """How many connections the API's listener holds; the next ones are answered 503."""
    tls_certificate: str = ""
    """A PEM file with the listener's certificate and its chain. Empty: plain HTTP."""
    tls_key: str = ""
    """The PEM file of the certificate's key."""
    cors_origins: str = Field(
        default="", pattern=r"^(https?://[^\s,/]+(\s*,\s*https?://[^\s,/]+)*)?$",
        json_schema_extra=allowed("`https://console.example`, several separated by commas"),
    )  # fmt: skip
    """Origins of pages beside the API's own that may call it, with a token: never with a cookie."""
    trusted_proxies: str = ""
    """Addresses and networks of proxies whose `X-Forwarded-For` is trusted, separated by commas."""
    secure_cookies: bool = False
    """Whether browsers send session cookies over TLS only: for a proxy in front that ends TLS."""
    answer_seconds: float = Field(default=60.0, ge=0.1, le=3600)
    """How long a plan's owners may be silent before the gateway queries them. A request or a command without an answer
    is sent again after a sixth or a third of it. Doubled each time."""
    audit_days: int = Field(default=400, ge=1, le=36_500)
    """How long entries of the audit trail are kept."""
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
    k8s_config_path: str = Field(
        default="", pattern=r"^(local|/\S+)?$",
        validation_alias=AliasChoices("SIGNALBOX_K8S_CONFIG_PATH", "k8s_config_path", "K8S_CONFIG_PATH"),
        json_schema_extra=allowed("`local` for the cluster the executors run in, or a kubeconfig's absolute path"),
    )  # fmt: skip
    """The cluster of the engine `kubernetes`, registered at start: Kubernetes jobs that name no engine run there.
    Executors need it too. `K8S_CONFIG_PATH` is read as well."""
    k8s_namespace: str = Field(
        default="default", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        validation_alias=AliasChoices("SIGNALBOX_K8S_NAMESPACE", "k8s_namespace", "K8S_NAMESPACE"),
        json_schema_extra=allowed("a namespace: up to 63 small letters, digits and `-`"),
    )  # fmt: skip
    """The namespace of the engine `kubernetes`. `K8S_NAMESPACE` is read as well."""
    k8s_max_parallel_workers: int = Field(
        default=10, ge=1, le=10_000,
        validation_alias=AliasChoices(
            "SIGNALBOX_K8S_MAX_PARALLEL_WORKERS", "k8s_max_parallel_workers", "K8S_MAX_PARALLEL_WORKERS"
        ),
    )  # fmt: skip
    """Pods of one Job that the engine `kubernetes` runs at once. `K8S_MAX_PARALLEL_WORKERS` is read as well."""
    kubernetes_node_selector: str = Field(
        default="",
        validation_alias=AliasChoices(
            "SIGNALBOX_KUBERNETES_NODE_SELECTOR", "kubernetes_node_selector", "KUBERNETES_NODE_SELECTOR"
        ),
        json_schema_extra=allowed("a JSON object of labels, such as `{\"disktype\": \"ssd\"}`"),
    )  # fmt: skip
    """Labels of the nodes that the engine `kubernetes` runs pods on. `KUBERNETES_NODE_SELECTOR` is read as well."""
    console_folder: str = ""
    """Folder with the web console's built files, served under `/console/`. Empty: the console is served elsewhere, or
    not at all."""
    alarm_url: SecretStr = Field(default=SecretStr(""), json_schema_extra=allowed("`https://…`"))
    """Where a gateway posts an alarm when the notifier is dead or late, and when it is well again: Slack's incoming
    webhooks take it. Empty: only the metric `signalbox_notifier_late_seconds` and the log show it."""
    notifications_late_seconds: float = Field(default=60.0, ge=5, le=86_400)
    """How long the notifier may read nothing before the alarm."""
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

    @field_validator("kubernetes_node_selector")
    @classmethod
    def _node_selector_is_labels(cls, value: str) -> str:
        _labels(value)
        return value

    @property
    def node_selector(self) -> dict[str, str]:
        return _labels(self.kubernetes_node_selector)

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key come together: give both or neither")
        for name in ("tls_certificate", "tls_key"):
            path = getattr(self, name)
            if path and not os.access(path, os.R_OK):
                raise ValueError(f"{name} {path!r} is not a file that can be read")
        return self

    @model_validator(mode="after")
    def _oidc_is_complete(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_redirect_url):
            raise ValueError("oidc_issuer needs oidc_client_id and oidc_redirect_url")
        for name in ("oidc_issuer", "oidc_redirect_url"):
            url: str = getattr(self, name)
            parts = urlsplit(url)
            if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
                raise ValueError(f"{name} {url!r} must be https: only a loopback address may go without")
        return self

    @model_validator(mode="after")
    def _anonymous_on_loopback_alone(self) -> Self:
        if self.anonymous_role and not is_loopback(self.api_host):
            raise ValueError(
                f"anonymous_role {self.anonymous_role!r} is refused: api_host {self.api_host!r} is no loopback address"
            )
        return self


def _labels(text: str) -> dict[str, str]:
    """The labels of a JSON object; none of an empty text. Raises ValueError."""
    try:
        return TypeAdapter[dict[str, str]](Texts).validate_json(text or "{}")
    except ValidationError:
        raise ValueError('only a JSON object of texts is allowed, such as {"disktype": "ssd"}') from None
