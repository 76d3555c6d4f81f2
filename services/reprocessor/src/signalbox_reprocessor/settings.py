"""Settings of the reprocessor."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Self, cast

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from signalbox_chassis.messaging.connection import BROKERS_PATTERN, BROKERS_WORDS
from signalbox_chassis.security.vault import VaultSettings
from signalbox_chassis.settings import allowed


def _named(field: str, name: str) -> AliasChoices:
    return AliasChoices(f"SIGNALBOX_{field.upper()}", field, name)


class ReprocessorSettings(VaultSettings):
    worker_database_url: SecretStr = SecretStr("")
    """PostgreSQL with the workers' role, which reaches the rows of one job alone. Empty: jobs are refused."""
    reprocessing_kafka_bootstrap: str = Field(
        default="", pattern=f"^({BROKERS_PATTERN})?$",
        validation_alias=_named("reprocessing_kafka_bootstrap", "KAFKA_BOOTSTRAP_SERVERS"),
        json_schema_extra=allowed(BROKERS_WORDS),
    )  # fmt: skip
    """Brokers the events are sent to: the destination, never our own bus. Empty: only dry runs."""
    reprocessing_topic: str = Field(
        default="bulker-destinations", pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        validation_alias=_named("reprocessing_topic", "KAFKA_DESTINATIONS_TOPIC"),
        json_schema_extra=allowed("1 to 249 letters, digits, `.`, `_` and `-`"),
    )  # fmt: skip
    """The topic the events are sent to. It must exist."""
    reprocessing_kafka_properties: SecretStr = SecretStr("")
    """More properties of librdkafka as a JSON object, such as `{"security.protocol": "SASL_SSL", …}`."""
    repository_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("repository_url", "REPOSITORY_URL"),
        json_schema_extra=allowed("`http://…` or `https://…`"),
    )  # fmt: skip
    """Where workers ask for the connections of streams. Empty: every job must name its `connection_ids`."""
    repository_auth_token: SecretStr = Field(
        default=SecretStr(""), validation_alias=_named("repository_auth_token", "REPOSITORY_AUTH_TOKEN")
    )
    """Sent to the repository as a bearer token."""
    reprocessing_local_folders: str = ""
    """Folders, separated by commas, whose files may be reprocessed. Empty: `local_path` is refused."""
    reprocessing_folder: str = ""
    """Folder for the configuration of running jobs, which holds credentials. Empty: jobs are refused."""
    reprocessing_worker_program: str = ""
    """The worker's program, which the process engine must allow. Empty: the one installed beside this service."""
    process_user: str = Field(default="", pattern=r"^\d*$", json_schema_extra=allowed("a user's number"))
    """Who the process engine runs programs as: only that user may read a job's configuration. Empty: this one."""
    k8s_max_parallel_workers: int = Field(
        default=10, ge=1, le=50, validation_alias=_named("k8s_max_parallel_workers", "K8S_MAX_PARALLEL_WORKERS")
    )
    """Workers of one job that run at once."""
    reprocessing_worker_image: str = Field(
        default="signalbox/reprocessing-worker", min_length=1, max_length=1024,
        validation_alias=_named("reprocessing_worker_image", "REPROCESSING_WORKER_IMAGE"),
    )  # fmt: skip
    """The image of workers on Kubernetes. Their configuration needs the vault: `SIGNALBOX_SECRETS_URL`."""
    reprocessing_pod_command: str = "signalbox-reprocessing-worker"
    """The worker's program in the image; words are separated by spaces."""
    reprocessing_pod_template: str = ""
    """Merged into the template of the workers' pods, as a JSON object: resources, tolerations, volumes."""
    reprocessing_max_line_bytes: int = Field(default=10_485_760, ge=1024, le=268_435_456)
    """A longer line is counted as failed and not sent."""
    reprocessing_list_seconds: float = Field(default=100.0, ge=1, le=3600)
    """How long listing the files of a job may take."""
    aws_access_key_id: SecretStr = Field(
        default=SecretStr(""), validation_alias=_named("aws_access_key_id", "AWS_ACCESS_KEY_ID")
    )
    """For S3. Empty: as the host's role says."""
    aws_secret_access_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=_named("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY")
    )
    """For S3."""
    aws_default_region: str = Field(
        default="", validation_alias=_named("aws_default_region", "AWS_DEFAULT_REGION")
    )  # fmt: skip
    """For S3."""
    aws_endpoint_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("aws_endpoint_url", "AWS_ENDPOINT_URL"),
        json_schema_extra=allowed("`http://…` or `https://…`"),
    )  # fmt: skip
    """Another S3 than Amazon's."""

    @field_validator("reprocessing_kafka_properties")
    @classmethod
    def _an_object(cls, value: SecretStr) -> SecretStr:
        _properties(value)
        return value

    @field_validator("reprocessing_pod_template")
    @classmethod
    def _a_pod_template(cls, value: str) -> str:
        spec = _properties(SecretStr(value)).get("spec", {})
        containers = cast("dict[str, Any]", spec).get("containers", []) if isinstance(spec, dict) else None
        if not isinstance(containers, list) or not all(isinstance(one, dict) for one in cast("list[Any]", containers)):
            raise ValueError('must be like {"spec": {"containers": [{"name": "main", …}], …}}')
        return value

    @model_validator(mode="after")
    def _not_our_bus(self) -> Self:
        ours = self.reprocessing_kafka_bootstrap == self.kafka_bootstrap
        if ours and self.topic_prefix and self.reprocessing_topic.startswith(self.topic_prefix):
            raise ValueError(
                f"reprocessing_topic {self.reprocessing_topic} is a topic of our own bus: events go elsewhere"
            )
        return self

    @property
    def kafka_properties(self) -> dict[str, Any]:
        return _properties(self.reprocessing_kafka_properties)

    @property
    def pod_template(self) -> dict[str, Any]:
        return _properties(SecretStr(self.reprocessing_pod_template))

    @property
    def local_folders(self) -> tuple[Path, ...]:
        return tuple(Path(part.strip()) for part in self.reprocessing_local_folders.split(",") if part.strip())

    @property
    def worker_program(self) -> str:
        beside = Path(sys.executable).with_name("signalbox-reprocessing-worker")
        return self.reprocessing_worker_program or (
            str(beside) if beside.exists() else shutil.which(beside.name) or str(beside)
        )

    @property
    def s3_options(self) -> dict[str, Any]:
        """For obstore's `S3Store`."""
        given = {
            "access_key_id": self.aws_access_key_id.get_secret_value(),
            "secret_access_key": self.aws_secret_access_key.get_secret_value(),
            "region": self.aws_default_region,
            "endpoint": self.aws_endpoint_url,
        }
        options: dict[str, Any] = {name: value for name, value in given.items() if value}
        if self.aws_endpoint_url.startswith("http://"):
            options["client_options"] = {"allow_http": True}
        return options


def _properties(value: SecretStr) -> dict[str, Any]:
    text = value.get_secret_value()
    if not text:
        return {}
    try:
        properties = json.loads(text)
    except ValueError:
        raise ValueError("must be a JSON object") from None
    if not isinstance(properties, dict):
        raise ValueError("must be a JSON object")
    return properties  # pyright: ignore[reportUnknownVariableType]
