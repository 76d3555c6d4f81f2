"""Settings of Kubernetes engines."""

from pydantic import Field

from signalbox_chassis.settings import allowed
from signalbox_executor.engines.kind import EngineSettings


class KubernetesEngineSettings(EngineSettings):
    kubernetes_config_files: str = Field(
        default="",
        pattern=r"^(/[^,]*(,/[^,]*)*)?$",
        json_schema_extra=allowed("absolute paths, separated by commas"),
    )
    """Kubeconfig files on this host that definitions of Kubernetes engines may name. They may hold what a kubeconfig in
    a secret may not: programs to run and paths to read."""
    kubernetes_timeout_seconds: float = Field(default=30.0, ge=1, le=300)
    """Longest time of one call of an API server."""
