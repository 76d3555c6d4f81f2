"""Settings of a service: one frozen class, one environment variable `SIGNALBOX_<FIELD>` each, read once at start.

A service subclasses `ServiceSettings` and adds its own fields; the docstring below a field is its line in
`docs/settings.md`, and a field with a pattern says in `allowed` what that means. `load` prints one line per problem and
exits with 2 before anything is started. `SIGNALBOX_<FIELD>_FILE` names a file that holds the value instead: that is how
containers and systemd hand over secrets.
"""

import os
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from signalbox_chassis.messaging.connection import (
    BROKERS_PATTERN,
    BROKERS_WORDS,
    KafkaConnection,
    Mechanism,
    Protocol,
    broker_addresses,
)
from signalbox_chassis.setting_aliases import SECRET_VARIABLES, Alias

PREFIX = "SIGNALBOX_"
FILE_SUFFIX = "_FILE"
MAX_FILE_BYTES = 65_536
USAGE = 2


def allowed(words: str) -> dict[str, Any]:
    """For `json_schema_extra`: what a field takes, for people. `problems` and the settings table say it."""
    return {"allowed": words}


class SettingUnusable(Exception):
    """A file or variable that should hold a setting cannot be used. `lines` has one for each, without any value."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


def read_files(fields: Mapping[str, FieldInfo], environment: Mapping[str, str]) -> dict[str, str]:
    """Field → content of the file that `SIGNALBOX_<FIELD>_FILE` names, without the line end.

    Raises SettingUnusable.
    """
    values: dict[str, str] = {}
    lines: list[str] = []
    for name in fields:
        variable = f"{PREFIX}{name.upper()}"
        path = environment.get(variable + FILE_SUFFIX, "")
        if not path:
            continue
        if variable in environment:
            lines.append(f"{variable}{FILE_SUFFIX}: {variable} is set too; unset one of them")
            continue
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            values[name] = content.decode().rstrip("\r\n")
        except OSError as error:
            lines.append(f"{variable}{FILE_SUFFIX}: {path} cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            lines.append(f"{variable}{FILE_SUFFIX}: {path} is no text in UTF-8")
        else:
            if len(content) > MAX_FILE_BYTES:
                lines.append(f"{variable}{FILE_SUFFIX}: {path} holds more than {MAX_FILE_BYTES} bytes")
            elif not values[name]:
                lines.append(f"{variable}{FILE_SUFFIX}: {path} is empty")
    if lines:
        raise SettingUnusable(lines)
    return values


class _Files(PydanticBaseSettingsSource):
    """The settings that files hold."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # `__call__` reads all of them at once

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        found = read_files(fields, os.environ)
        # a field with aliases takes its value under the first of them only
        return {_key(name, fields[name]): value for name, value in found.items()}


class _Aliases(PydanticBaseSettingsSource):
    """The settings that stand in the environment under names of other systems."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # `__call__` reads all of them at once

    def __call__(self) -> dict[str, Any]:
        fields, found = self.settings_cls.model_fields, dict[str, Any]()
        aliases: Mapping[str, Alias] = getattr(self.settings_cls, "aliases", {})
        for name, alias in aliases.items():
            variable = f"{PREFIX}{name.upper()}"
            if os.environ.get(variable) or os.environ.get(variable + FILE_SUFFIX):
                continue
            try:
                value = alias(os.environ)
            except ValueError as wrong:
                raise SettingUnusable([str(wrong)]) from None
            if value:
                found[_key(name, fields[name])] = value
        return found


def _key(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    first = alias.choices[0] if isinstance(alias, AliasChoices) else alias
    return first if isinstance(first, str) else name


_PREFIX_WORDS = allowed("up to 100 letters, digits, `.`, `_` and `-`")


class Settings(BaseSettings):
    """Settings of one part of a service, read once from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    aliases: ClassVar[Mapping[str, Alias]] = {}
    """By field: what reads it from variables of other systems."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _Files(settings_cls), _Aliases(settings_cls)

    def secrets(self) -> Iterator[str]:
        """Every secret value, and the passwords inside of addresses, for `logs.hide`."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                secret = value.get_secret_value()
                password = urlsplit(secret).password if "://" in secret else None
                yield from {secret, password or secret, unquote(password or secret)}
        yield from filter(None, map(os.environ.get, SECRET_VARIABLES))

    @classmethod
    def load(cls) -> Self:
        """Read the environment, or print every problem on its own line and exit with 2."""
        try:
            return cls()
        except SettingUnusable as unusable:
            lines: Sequence[str] = unusable.lines
        except ValidationError as invalid:
            lines = problems(invalid, cls)
        for line in lines:
            print(line, file=sys.stderr)
        sys.exit(USAGE)


class ServiceSettings(Settings):
    """What every service is told."""

    kafka_bootstrap: str = Field(
        pattern=f"^{BROKERS_PATTERN}$",
        json_schema_extra=allowed(BROKERS_WORDS),
    )
    """Kafka brokers."""
    kafka_security_protocol: Protocol = "PLAINTEXT"
    """The protocol of the brokers; with `SASL_` as a user, with `SSL` encrypted and their certificates verified."""
    kafka_sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    """How the user authenticates. `PLAIN` needs `SASL_SSL`."""
    kafka_user: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
        json_schema_extra=_PREFIX_WORDS,
    )
    """This service's own user, which the brokers' access list knows."""
    kafka_password: SecretStr = SecretStr("")
    """The user's password."""
    kafka_ca: str = ""
    """Certificates of the authorities that the brokers' certificates must come from, as PEM; `SIGNALBOX_KAFKA_CA_FILE`
    names their file. Empty: those of the system."""
    database_url: SecretStr = Field(json_schema_extra=allowed("`postgresql://…`"))
    """PostgreSQL (15 or newer) as `postgresql://role:password@host:port/database`, with this service's own role. With
    `?sslmode=verify-full&sslrootcert=FILE` behind it: over TLS, the certificate and the host name verified."""
    database_schema: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9_]{0,62})?$",
        json_schema_extra=allowed("up to 63 lower-case letters, digits and `_`, a letter first"),
    )
    """Schema that holds this service's tables; empty means the service's own name."""
    database_pool_size: int = Field(default=8, ge=2, le=100)
    """Connections this process keeps to PostgreSQL, one more is used by the outbox relay."""
    topic_prefix: str = Field(default="signalbox.", pattern=r"^[a-zA-Z0-9._-]{0,100}$", json_schema_extra=_PREFIX_WORDS)
    """Prefix of every topic name."""
    group_prefix: str = Field(default="signalbox.", pattern=r"^[a-zA-Z0-9._-]{0,100}$", json_schema_extra=_PREFIX_WORDS)
    """Prefix of every consumer group; the service's name and `.control` or `.facts` follow."""
    batch_max_messages: int = Field(default=200, ge=1, le=1000)
    """Maximum number of messages handled in one transaction."""
    session_timeout_seconds: float = Field(default=6.0, ge=1, le=60)
    """After this long without a heartbeat Kafka gives a consumer's partitions to another."""
    fetch_wait_seconds: float = Field(default=0.01, ge=0.001, le=0.5)
    """How long the broker holds an empty fetch of some partitions, while records of others wait here; 0.5 s of all."""
    retry_seconds: float = Field(default=30.0, ge=0.1, le=120)
    """How long a batch is retried in place after a transient failure, before its messages are fetched again."""
    handler_timeout_seconds: float = Field(default=30.0, ge=0.1, le=120)
    """Maximum time of one handler run, its transaction included."""
    relay_batch: int = Field(default=500, ge=1, le=5000)
    """Maximum number of outbox rows sent at once."""
    relay_poll_seconds: float = Field(default=0.25, ge=0.01, le=10)
    """How often the relay polls for rows that another process wrote."""
    stuck_seconds: float = Field(default=60.0, ge=5, le=3600)
    """The watchdog ends the process when messages wait this long without progress although Kafka answers."""
    drain_seconds: float = Field(default=15.0, ge=0, le=300)
    """Maximum time of an orderly stop; then the rest is aborted."""
    inbox_days: int = Field(default=14, ge=8, le=400)
    """Days the inbox remembers which events were handled: longer than topics keep them (7 days)."""
    outbox_days: int = Field(default=7, ge=1, le=400)
    """Days sent outbox rows are kept, to be replayed after a loss of Kafka."""
    retention_days: int = Field(default=90, ge=1, le=36_500)
    """Days that ended objects are kept: plans, tasks, their logs, reprocessing jobs, answered operations, settled dead
    letters."""
    prune_batch: int = Field(default=1000, ge=10, le=20_000)
    """Maximum number of rows that retention deletes in one transaction."""
    http_host: str = "127.0.0.1"
    """Address of `/livez`, `/readyz` and `/metrics`."""
    http_port: int = Field(default=0, ge=0, le=65535)
    """Port of the same; 0 takes a free one and logs it."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest severity that is logged."""
    otlp_endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", json_schema_extra=allowed("`http://…` or `https://…`")
    )
    """OTLP/HTTP address for traces, such as `http://127.0.0.1:4318`. Empty: traces are passed on, not recorded."""
    trace_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of new traces that are recorded; a trace begun elsewhere keeps its own decision."""
    source_topics: str = Field(
        default="", max_length=4000, pattern=r"^([a-z0-9][a-z0-9._-]{0,99}(,[a-z0-9][a-z0-9._-]{0,99})*)?$",
        json_schema_extra=allowed("names of sources, separated by commas"),
    )  # fmt: skip
    """Sources of events with a topic of their own, `triggers.v1.<source>`: the broker's access list says who writes
    there, and events that claim such a source are refused on the shared topic."""
    blob_url: str = Field(
        default="", pattern=r"^((file:///|s3://)\S+)?$", json_schema_extra=allowed("`file:///…` or `s3://…`")
    )
    """Where logs and artifacts are kept: `file:///folder` or `s3://bucket/prefix`. Empty: this service needs none."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources with a topic of their own."""
        return tuple(filter(None, self.source_topics.split(",")))

    @field_validator("kafka_bootstrap")
    @classmethod
    def _ports_in_range(cls, value: str) -> str:
        if not all(1 <= port <= 65535 for _, port in broker_addresses(value)):
            raise ValueError("a port must be between 1 and 65535")
        return value

    @property
    def kafka(self) -> KafkaConnection:
        """How every Kafka client of this process reaches the brokers."""
        return KafkaConnection(
            self.kafka_bootstrap, self.kafka_security_protocol, self.kafka_user,
            self.kafka_password.get_secret_value(), self.kafka_sasl_mechanism, self.kafka_ca,
        )  # fmt: skip

    @field_validator("kafka_ca")
    @classmethod
    def _certificates(cls, value: str) -> str:
        if value:
            try:
                ssl.create_default_context(cadata=value)
            except (ssl.SSLError, ValueError):
                raise ValueError(
                    "is no certificate in PEM, such as a file beginning -----BEGIN CERTIFICATE-----"
                ) from None
        return value

    @model_validator(mode="after")
    def _complete_kafka(self) -> Self:
        if self.kafka.authenticated:
            missing = [name for name in ("kafka_user", "kafka_password") if not _text_of(getattr(self, name))]
            if missing:
                names = " and ".join(f"{PREFIX}{name.upper()}" for name in missing)
                raise ValueError(f"{PREFIX}KAFKA_SECURITY_PROTOCOL: {self.kafka_security_protocol} needs {names}")
            if self.kafka_sasl_mechanism == "PLAIN" and not self.kafka.encrypted:
                raise ValueError(f"{PREFIX}KAFKA_SASL_MECHANISM: PLAIN shows the password; it needs SASL_SSL")
        return self

    @field_validator("retention_days")
    @classmethod
    def _longer_than_the_inbox(cls, value: int, info: ValidationInfo) -> int:
        # an old message that is read again must meet its inbox row, not start what was pruned
        inbox = info.data.get("inbox_days", 0)
        if value <= inbox:
            raise ValueError(f"{value} is not more than inbox_days ({inbox})")
        return value

    @field_validator("stuck_seconds")
    @classmethod
    def _longer_than_a_handler(cls, value: float, info: ValidationInfo) -> float:
        longest = max(info.data.get("handler_timeout_seconds", 0.0), info.data.get("retry_seconds", 0.0))
        if value <= longest:
            raise ValueError(f"{value:g} is not more than the handler's and the retry's time ({longest:g} s)")
        return value

    @field_validator("database_url")
    @classmethod
    def _only_postgresql(cls, value: SecretStr) -> SecretStr:
        # nothing of the value may be repeated: where its parts are wrong, any of them may be the password
        scheme, separator, _ = value.get_secret_value().partition("://")
        if not separator:
            raise ValueError("is not an address of the form postgresql://role:password@host:port/database")
        if scheme not in ("postgresql", "postgres"):
            raise ValueError("only postgresql:// is supported: PostgreSQL 15 or newer is the only store")
        try:
            port = urlsplit(value.get_secret_value()).port
        except ValueError:
            raise ValueError(
                "its port is no number up to 65535; write :, / and @ in a password as %3A, %2F, %40"
            ) from None
        if port == 0:
            raise ValueError("its port must be between 1 and 65535")
        return value

    @classmethod
    def parts(cls) -> Sequence[type[Settings]]:
        """The settings of its parts that a service reads beside its own, for the settings table."""
        return ()


def _text_of(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def problems(invalid: ValidationError, settings: type[BaseSettings] = ServiceSettings) -> list[str]:
    """One line per wrong setting: its variable and what is allowed. Values are left out: some are secrets."""
    lines: list[str] = []
    for error in invalid.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "missing":
            message = "is not set, and has no default"
        elif error["type"] == "string_pattern_mismatch":
            message = f"must be {allowed_words(settings.model_fields[name])}"
        lines.append(f"{PREFIX}{name.upper()}: {message}" if name else message)
    return lines


def allowed_words(field: FieldInfo) -> str:
    """What the field says it takes, or an empty string."""
    extra = field.json_schema_extra
    words: object = extra.get("allowed") if isinstance(extra, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return words if isinstance(words, str) else ""
