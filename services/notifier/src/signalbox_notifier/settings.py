"""Settings of the notifier."""

from typing import ClassVar

from pydantic import Field, SecretStr

from signalbox_chassis import setting_aliases
from signalbox_chassis.security.egress import EgressSettings
from signalbox_chassis.security.vault import VaultSettings
from signalbox_chassis.settings import allowed


class NotifierSettings(EgressSettings, VaultSettings):
    aliases: ClassVar = {**VaultSettings.aliases, "redis_url": setting_aliases.redis_url}
    send_timeout_seconds: float = Field(default=15.0, ge=1, le=60)
    """Time limit of one try to send, reading the answer included."""
    incident_update_seconds: float = Field(default=300.0, ge=1, le=86_400)
    """Minimum time between two messages about one incident to one channel; a subscription's digest may be longer."""
    notifications_late_seconds: float = Field(default=60.0, ge=5, le=86_400)
    """A message that is due for so long without a try, or facts that are not read for so long, are late: the event
    `system.notifications_late` goes to every channel that is not."""
    delivery_keep_days: int = Field(default=30, ge=1, le=3660)
    """Days a delivery is kept after it was made."""
    slack_api_url: str = Field(
        default="https://slack.com/api", pattern=r"^https?://\S+$", json_schema_extra=allowed("`https://…`")
    )
    """Where Slack's Web API is."""
    smtp_host: str = ""
    """SMTP server for e-mail. Empty: deliveries to e-mail channels fail with that reason."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    """Port of the SMTP server."""
    smtp_security: str = Field(
        default="starttls", pattern="^(starttls|tls|none)$", json_schema_extra=allowed("`starttls`, `tls` or `none`")
    )
    """How the connection is protected; `none` only for a server on this machine."""
    smtp_username: str = ""
    """User name for the SMTP server; empty for none."""
    smtp_password: SecretStr = SecretStr("")
    """The user's password."""
    smtp_from: str = Field(
        default="signalbox@localhost", pattern=r"^[^@\s,<>]{1,64}@[^@\s,<>]{1,255}$",
        json_schema_extra=allowed("an e-mail address"),
    )  # fmt: skip
    """The sender of e-mail."""
    public_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", json_schema_extra=allowed("`http://…` or `https://…`")
    )
    """Where people reach the API or console, for links in messages. Empty: no links."""
    live_host: str = "127.0.0.1"
    """Address the live feed listens on, for gateways."""
    live_port: int = Field(default=0, ge=0, le=65535)
    """Port of the same; 0 takes a free one and logs it."""
    live_keep_seconds: float = Field(default=3600.0, ge=60, le=604_800)
    """How long events of the live feed are kept: a client that was away for longer needs a snapshot."""
    redis_url: SecretStr = Field(default=SecretStr(""), json_schema_extra=allowed("`redis://…`"))
    """Redis that wakes the live feeds of several notifiers. Empty: each polls every half second.
    `REDIS_HOST` with `REDIS_PORT` is read as well."""
