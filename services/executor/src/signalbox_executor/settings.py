"""Settings of the executor. Each kind of engine has its own beside it (`engines/KIND/settings.py`)."""

from collections.abc import Sequence

from pydantic import Field, ValidationInfo, field_validator

from signalbox_chassis.security.egress import EgressSettings
from signalbox_chassis.security.vault import VaultSettings
from signalbox_chassis.settings import Settings, allowed


class ExecutorSettings(VaultSettings, EgressSettings):
    host_id: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$",
        json_schema_extra=allowed("up to 128 letters, digits, `.`, `_` and `-`"),
    )
    """The host this executor runs on: process engines with this host id are its own. Empty: the id kept in
    `process_folder`, or the host's own name."""
    log_seconds: float = Field(default=15.0, ge=0.05, le=600)
    """How often the output of a running attempt is copied to the blob store."""
    log_follow_seconds: float = Field(default=2.0, ge=0.05, le=600)
    """The same while somebody follows the attempt."""
    log_max_bytes: int = Field(default=64 * 1024 * 1024, ge=65_536, le=1024**3)
    """Maximum bytes of one attempt's log that are kept: three quarters from its beginning, one from its end."""
    worker_lease_seconds: float = Field(default=30.0, ge=0.5, le=600)
    """A worker that has not renewed its lease for this long is dead, and what it claimed is taken over."""
    renew_seconds: float = Field(default=10.0, ge=0.1, le=200)
    """How often a worker renews its lease and looks for rows of its own that no coroutine submits."""
    claim_seconds: float = Field(default=0.5, ge=0.02, le=60)
    """How often a worker looks for tasks to claim when nothing woke it."""
    claim_batch: int = Field(default=200, ge=1, le=1000)
    """Maximum number of tasks claimed in one transaction."""
    max_submitting: int = Field(default=400, ge=1, le=10_000)
    """Maximum number of tasks that one worker submits at once; it claims no more than that."""
    take_over_seconds: float = Field(default=2.0, ge=0.1, le=60)
    """How often a worker looks for dead workers."""
    engine_lease_seconds: float = Field(default=30.0, ge=0.5, le=600)
    """An engine's observer that finished no pass for this long loses the engine to another worker."""
    observe_batch: int = Field(default=1000, ge=1, le=10_000)
    """Maximum number of runs observed in one call of an engine."""
    engine_timeout_seconds: float = Field(default=60.0, ge=0.1, le=600)
    """Maximum time of one call of an engine, whatever its adapter does."""
    resend_seconds: float = Field(default=30.0, ge=0.05, le=600)
    """Maximum time between two sends of a submit without an answer; the first waits are shorter."""
    stop_seconds: float = Field(default=5.0, ge=0.05, le=600)
    """How often the stop of a run is sent again until the run has ended."""
    unknown_seconds: float = Field(default=30.0, ge=0, le=86_400)
    """How long a task stays UNKNOWN before the policies `fail` and `retry` act: its run may be seen again."""

    publish_delay_seconds: float = Field(default=0.5, ge=0.02, le=60)
    """How long a transition may wait for the next fact of its task before it is published by itself."""
    explain_seconds: float = Field(default=1.0, ge=0.05, le=600)
    """How often the reasons why tasks wait are computed."""
    explain_after_seconds: float = Field(default=0.5, ge=0, le=600)
    """How long a task is queued before its reason is computed: most do not wait."""

    @field_validator("renew_seconds")
    @classmethod
    def _often_enough(cls, value: float, info: ValidationInfo) -> float:
        lease = info.data.get("worker_lease_seconds", 0.0)
        if value * 2 > lease:
            raise ValueError(f"{value:g} is not at most half of worker_lease_seconds ({lease:g})")
        return value

    @classmethod
    def parts(cls) -> Sequence[type[Settings]]:
        """The settings of every kind of engine."""
        from signalbox_executor.engines.registry import KINDS  # the kinds need this module

        return [kind.settings for kind in KINDS.values() if kind.settings is not None]
