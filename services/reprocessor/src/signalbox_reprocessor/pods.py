"""Workers on Kubernetes: the Indexed Job of a job, with the ConfigMap and the Secret that its document names. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from signalbox_contracts.definitions.work import KubernetesWork
from signalbox_reprocessor.distribution import ListedFile
from signalbox_reprocessor.facts import WORKER_ATTEMPTS
from signalbox_reprocessor.settings import ReprocessorSettings

CONFIG_FILE: Final = "worker.json"
FOLDER: Final = "/config/job"
MAX_FILE_LIST_BYTES: Final = 16_000
"""A longer list of files is left out: the plan has to fit into messages, and workers read the ledger."""
_CONTAINER: Final = "main"
"""What the Kubernetes engine calls the container of a work's image."""
NO_RETRY_EXIT_CODES: Final = (2, 3, 4)
"""Usage, the worker cannot run as things are, files failed: another pod ends likewise."""
POD_SECURITY: Final = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
}  # fmt: skip
"""What a namespace that enforces the Pod Security Standard `restricted` asks for; the workers' image runs so."""

PREFIX: Final = "reprocess-"
"""What the names of the Job, of its objects and of the service's secrets begin with; the job's id follows."""


def secret_name(job_id: UUID, part: str) -> str:
    return f"{PREFIX}{job_id}.{part}"


def job_of(secret: str) -> UUID | None:
    """The job a secret is for."""
    try:
        return UUID(secret.removeprefix(PREFIX).partition(".")[0])
    except ValueError:
        return None


def indexed_job(job_id: UUID, settings: ReprocessorSettings, files: Sequence[ListedFile], count: int) -> KubernetesWork:
    """One pod a worker; each learns its index from `JOB_COMPLETION_INDEX` and its files from the ledger. A Job of one
    pod has no indexes."""
    token = {"repository_auth_token": "repository"} if settings.repository_auth_token else {}
    kept = {CONFIG_FILE: "worker", "config.json": "config", "database_url": "database", **token}
    secret_files = {
        **{file: f"secret://{secret_name(job_id, part)}" for file, part in kept.items()},
        "kafka_bootstrap_servers": settings.reprocessing_kafka_bootstrap,
        "kafka_destinations_topic": settings.reprocessing_topic,
        "repository_url": settings.repository_url,
    }
    return KubernetesWork(
        image=settings.reprocessing_worker_image,
        command=(*settings.reprocessing_pod_command.split(), f"{FOLDER}/{CONFIG_FILE}", *(["0"] if count == 1 else [])),
        job_name=f"{PREFIX}{job_id}",
        files=_file_list(files, count), files_name=f"reprocess-{job_id}-files", secret_files=secret_files,
        secret_files_name=f"reprocess-{job_id}-config", files_at=FOLDER, completions=count,
        parallelism=min(count, settings.k8s_max_parallel_workers), retries_per_index=WORKER_ATTEMPTS,
        no_retry_exit_codes=NO_RETRY_EXIT_CODES, labels={"job-id": str(job_id)}, stop_grace_seconds=10,
        pod_template=pod_template(settings.pod_template),
    )  # fmt: skip


def pod_template(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with a restricted security context where it names none (null: none at all)."""
    spec: dict[str, Any] = {"securityContext": POD_SECURITY, **raw.get("spec", {})}
    containers: list[dict[str, Any]] = spec.get("containers", [])
    named: dict[str, Any] = next((one for one in containers if one.get("name") == _CONTAINER), {"name": _CONTAINER})
    others = [one for one in containers if one is not named]
    spec["containers"] = [{"securityContext": CONTAINER_SECURITY, **named}, *others]
    return {**raw, "spec": spec}


def secret_values(job_id: UUID, settings: ReprocessorSettings, worker: dict[str, Any]) -> dict[str, str]:
    """Name → value of what the vault keeps while the job runs."""
    values = {
        "worker": to_json(worker).decode(),
        "config": to_json(worker["config"]).decode(),
        "database": settings.worker_database_url.get_secret_value(),
        "repository": settings.repository_auth_token.get_secret_value(),
    }
    return {secret_name(job_id, part): value for part, value in values.items() if value}


def _file_list(files: Sequence[ListedFile], count: int) -> dict[str, str]:
    listed = to_json([{"path": file.path, "size": file.size} for file in files]).decode()
    facts = {"worker_count": str(count), "total_files": str(len(files))}
    return {"files.json": listed, **facts} if len(listed) <= MAX_FILE_LIST_BYTES else facts
