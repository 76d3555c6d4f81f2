"""Settings of Kubernetes engines."""

from pydantic import AliasChoices, Field

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
    k8s_config_path: str = Field(
        default="", pattern=r"^(local|/\S+)?$",
        validation_alias=AliasChoices("SIGNALBOX_K8S_CONFIG_PATH", "k8s_config_path", "K8S_CONFIG_PATH"),
        json_schema_extra=allowed("`local` or an absolute path"),
    )  # fmt: skip
    """The kubeconfig of the default engine `kubernetes`, allowed as if it were listed in `kubernetes_config_files`.
    `K8S_CONFIG_PATH` is read as well."""
    kubernetes_timeout_seconds: float = Field(default=30.0, ge=1, le=300)
    """Time limit of one call of an API server."""

    @property
    def allowed_files(self) -> frozenset[str]:
        """The files on this host that an engine may name."""
        named = (path.strip() for path in self.kubernetes_config_files.split(","))
        return frozenset(path for path in (*named, self.k8s_config_path) if path.startswith("/"))
