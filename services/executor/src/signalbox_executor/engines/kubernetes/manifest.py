"""What is created for an attempt: one Job, suspended, and the ConfigMaps and Secrets it owns. Pure.

Every copy of a submit makes equal objects with equal names, so "already there" is always the same thing.
"""

import base64
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

from signalbox_contracts.definitions.work import KubernetesWork
from signalbox_executor.engines.kubernetes.merge import merge_template
from signalbox_executor.engines.port import EngineRefused, Submission

MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "signalbox"}
RUN_KEY: Final = "signalbox/run-key"
"""The label of everything that belongs to an attempt."""
SEALED: Final = "signalbox/sealed"
CANCELLED: Final = "signalbox/cancelled"
RELEASED: Final = "signalbox/released"
SUSPENDED: Final = "signalbox/suspended"
RESUMED: Final = "signalbox/resumed"
"""Annotations of the Job with the time of what was asked, never removed."""
INDEXES: Final = "signalbox/indexes"
"""The annotation that says which indexes of a larger Job the completions of this one stand for."""
RUNS_AS: Final = "signalbox/runs-as"
"""The annotation of a Job without pods that has the run key as its name: the name of the Job that runs."""
CONTAINER: Final = "main"
FILES_VOLUME: Final = "signalbox-files"
"""Not only `files`: volumes of a `pod_template` are merged by name, and that is what people call theirs."""
RESULT_FILE: Final = "/dev/termination-log"
MAX_OBJECT_BYTES: Final = 1024 * 1024
"""Data of one ConfigMap or Secret (a larger one is answered 422)."""
DEADLINE_SECONDS: Final = 7 * 86_400
"""Time of a run without a limit of its own: a Job without a deadline waits for a missing image for ever."""
_ENGINE: Final = "kubernetes"
_KEY: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
_MASKED: Final = "signalbox.masked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The Job, and what is created with its uid before it is released: pairs of kind (`configmaps`) and object."""

    job: dict[str, Any]
    owned: tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the engine's definition adds to every Job."""

    namespace: str
    node_selector: Mapping[str, str]
    max_parallel_workers: int
    key_retention_seconds: float


def objects(submission: Submission, placement: Placement) -> Objects:
    """Raises `EngineRefused` with the field for what can never be created."""
    work = submission.work
    if not isinstance(work, KubernetesWork):
        reason = f"{work.kind!r} is not allowed: only 'kubernetes' runs here"
        raise EngineRefused(_ENGINE, reason, field="work.kind", value=work.kind)
    if work.keep_seconds < placement.key_retention_seconds:
        reason = (
            f"{work.keep_seconds:g} s is too short: the engine's key_retention_seconds is "
            f"{placement.key_retention_seconds:g}, and the Job is what remembers the key"
        )
        raise EngineRefused(_ENGINE, reason, field="work.keep_seconds", value=f"{work.keep_seconds:g}")
    files = _Files(submission, work)
    template = merge_template(_template(submission, work, placement, files), work.pod_template)
    _check_template(template)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(submission, work),
        "spec": {**_job_spec(submission, work, placement), "template": template},
    }
    return Objects(job=job, owned=tuple(files.objects()))


def tombstone(run_key: str, keep_seconds: float) -> dict[str, Any]:
    """A Job that never has a pod and ends by itself: it keeps the name of a sealed key for so long."""
    return _without_pods(run_key, {SEALED: "true"}, {**STOP, "ttlSecondsAfterFinished": math.ceil(keep_seconds)})


def key_holder(run_key: str, name: str) -> dict[str, Any]:
    """A Job that never has a pod, for a run whose Job has a name of its own: the name of the key is taken with it, by
    the run or by a seal. It goes with the Job that owns it."""
    return _without_pods(run_key, {RUNS_AS: name}, {"suspend": True})


def _without_pods(run_key: str, annotations: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
    container = {"name": CONTAINER, "image": "none"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": run_key, "labels": {**MANAGED_BY, RUN_KEY: run_key}, "annotations": dict(annotations)},
        "spec": {**spec, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


STOP: Final = {"suspend": False, "parallelism": 0, "activeDeadlineSeconds": 1}
"""What ends a Job for good and keeps the object: no pods, and a deadline that passes at once, released or not."""


def owned_by(owned: Mapping[str, Any], name: str, uid: str) -> dict[str, Any]:
    """The object with its owner: deleting the Job collects it. `blockOwnerDeletion` would need one more permission."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    return {**owned, "metadata": {**owned["metadata"], "ownerReferences": [owner]}}


def _metadata(submission: Submission, work: KubernetesWork) -> dict[str, Any]:
    name = f"{work.job_name}{_again(submission)}" if work.job_name else submission.run_key
    annotations = {
        "signalbox/task": str(submission.task_id),
        "signalbox/attempt": str(submission.attempt),
        **{f"signalbox-label/{key}"[:253]: value for key, value in submission.labels.items() if _qualified(key)},
        **({"signalbox/traceparent": submission.traceparent} if submission.traceparent else {}),
        **({INDEXES: ",".join(map(str, work.indexes))} if work.indexes else {}),
    }
    return {"name": name, "labels": _labels(submission.run_key, work), "annotations": annotations}


def _again(submission: Submission) -> str:
    """What the names that the work chose end with in a later attempt."""
    return f"-{submission.attempt}" if submission.attempt > 1 else ""


def _qualified(name: str) -> bool:
    """Whether Kubernetes takes this as the second part of an annotation's name."""
    return (
        1 <= len(name) <= 63
        and name[0].isalnum()
        and name[-1].isalnum()
        and all(one.isascii() and (one.isalnum() or one in "-_.") for one in name)
    )


def _labels(run_key: str, work: KubernetesWork) -> dict[str, str]:
    return {**work.labels, **MANAGED_BY, RUN_KEY: run_key}


def _job_spec(submission: Submission, work: KubernetesWork, placement: Placement) -> dict[str, Any]:
    count = len(work.indexes) or work.completions
    limit = submission.time_limit_seconds
    shared: dict[str, Any] = {
        "suspend": True,
        "completions": count,
        "parallelism": min(work.parallelism or count, count, placement.max_parallel_workers),
        "activeDeadlineSeconds": max(1, math.ceil(limit)) if limit is not None else DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": math.ceil(work.keep_seconds),
        "podFailurePolicy": {"rules": _failure_rules(work, indexed=count > 1)},
    }
    if count == 1:
        return {**shared, "backoffLimit": work.retries_per_index}
    indexed = {"completionMode": "Indexed", "backoffLimitPerIndex": work.retries_per_index}
    if work.max_failed_indexes is not None:
        indexed["maxFailedIndexes"] = min(work.max_failed_indexes, count)
    return {**shared, **indexed}


def _failure_rules(work: KubernetesWork, *, indexed: bool) -> list[dict[str, Any]]:
    """A pod that the cluster took away is no failure of the work."""
    rules: list[dict[str, Any]] = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    if work.no_retry_exit_codes:
        codes = {"containerName": CONTAINER, "operator": "In", "values": sorted(set(work.no_retry_exit_codes))}
        rules.append({"action": "FailIndex" if indexed else "FailJob", "onExitCodes": codes})
    return rules


def _template(submission: Submission, work: KubernetesWork, placement: Placement, files: "_Files") -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": work.image,
        "env": list(_environment(submission, work, files)),
        "terminationMessagePath": RESULT_FILE,
        "resources": {
            name: dict(part) for name, part in (("requests", work.requests), ("limits", work.limits)) if part
        },
    }
    optional = {"command": list(work.command), "args": list(work.arguments), "imagePullPolicy": work.image_pull_policy}
    container.update({name: value for name, value in optional.items() if value})
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(work.stop_grace_seconds),
        "containers": [container],
        "enableServiceLinks": False,
        "automountServiceAccountToken": work.service_account is not None,
    }
    if sources := list(files.sources()):
        container["volumeMounts"] = [{"name": FILES_VOLUME, "mountPath": work.files_at, "readOnly": True}]
        spec["volumes"] = [{"name": FILES_VOLUME, "projected": {"sources": sources}}]
    if selector := {**placement.node_selector, **work.node_selector}:
        spec["nodeSelector"] = selector
    if work.tolerations:
        spec["tolerations"] = [one.model_dump(exclude_none=True) for one in work.tolerations]
    if work.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in work.image_pull_secrets]
    if work.service_account is not None:
        spec["serviceAccountName"] = work.service_account
    return {"metadata": {"labels": _labels(submission.run_key, work)}, "spec": spec}


def _environment(submission: Submission, work: KubernetesWork, files: "_Files") -> Iterator[dict[str, Any]]:
    for name, value in work.environment.items():
        if name in files.secret_variables:
            reference = {"name": files.variables_name, "key": name}
            yield {"name": name, "valueFrom": {"secretKeyRef": reference}}
        else:
            yield {"name": name, "value": value}
    ours = {
        "SIGNALBOX_RUN_KEY": submission.run_key,
        "SIGNALBOX_TASK_ID": str(submission.task_id),
        "SIGNALBOX_ATTEMPT": str(submission.attempt),
        "SIGNALBOX_RESULT": RESULT_FILE,
        **({"TRACEPARENT": submission.traceparent} if submission.traceparent else {}),
    }
    if len(work.indexes) == 1:
        ours["JOB_COMPLETION_INDEX"] = str(work.indexes[0])
    elif work.indexes:
        ours["SIGNALBOX_INDEXES"] = ",".join(map(str, work.indexes))
    yield from ({"name": name, "value": value} for name, value in ours.items())


def _check_template(template: Mapping[str, Any]) -> None:
    """What the server would accept although the engine's rules do not hold with it."""
    policy = template.get("spec", {}).get("restartPolicy")
    if policy != "Never":
        reason = f"{policy!r} is not allowed: retries are counted an index, which needs 'Never'"
        raise EngineRefused(_ENGINE, reason, field="work.pod_template.spec.restartPolicy", value=str(policy)[:200])


def secrets_name(run_key: str) -> str:
    """The Secret with the variables that hold secrets, and the list of values to be masked."""
    return f"{run_key}-secrets"


def remembered_secrets(document: Mapping[str, Any]) -> frozenset[str]:
    """The values a run was given, from its Secret."""
    try:
        values = from_json(base64.b64decode(document["data"][_MASKED]))
    except (KeyError, TypeError, ValueError):
        return frozenset()
    return frozenset(str(value) for value in values)


class _Files:
    """Files and secret variables, shared out over as many objects as their size needs."""

    def __init__(self, submission: Submission, work: KubernetesWork) -> None:
        self._key, self._work = submission.run_key, work
        self._labels = _labels(submission.run_key, work)
        self.secret_variables = frozenset(
            name for name, value in work.environment.items() if any(secret in value for secret in submission.secrets)
        )
        self._given = submission.secrets
        self.variables_name = secrets_name(self._key)
        again = _again(submission)
        self._maps_name = f"{work.files_name}{again}" if work.files_name else f"{self._key}-files"
        named = work.secret_files_name
        self._secrets_name = f"{named}{again}" if named else f"{self._key}-secret-files"
        self._maps = list(_parcels("work.files", work.files))
        self._secrets = list(_parcels("work.secret_files", work.secret_files))

    def objects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for at, files in enumerate(self._maps):
            name = _numbered(self._maps_name, at, named=self._work.files_name)
            yield "configmaps", self._object("ConfigMap", name, data=_keyed(files))
        for at, files in enumerate(self._secrets):
            name = _numbered(self._secrets_name, at, named=self._work.secret_files_name)
            yield "secrets", self._object("Secret", name, data=_encoded(_keyed(files)))
        if self._given:
            values = {name: self._work.environment[name] for name in sorted(self.secret_variables)}
            values[_MASKED] = to_json(self._given).decode()
            if sum(len(value.encode()) for value in values.values()) > MAX_OBJECT_BYTES:
                reason = f"the secrets have more than {MAX_OBJECT_BYTES} bytes together"
                raise EngineRefused(_ENGINE, reason, field="work.environment")
            yield "secrets", self._object("Secret", self.variables_name, data=_encoded(values))

    def sources(self) -> Iterator[dict[str, Any]]:
        """The parts of the projected volume."""
        for at, files in enumerate(self._maps):
            name = _numbered(self._maps_name, at, named=self._work.files_name)
            yield {"configMap": {"name": name, "items": _items(files)}}
        for at, files in enumerate(self._secrets):
            name = _numbered(self._secrets_name, at, named=self._work.secret_files_name)
            yield {"secret": {"name": name, "items": _items(files)}}

    def _object(self, kind: str, name: str, **content: Any) -> dict[str, Any]:
        metadata = {"name": name, "labels": self._labels}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "immutable": True, **content}


def _parcels(field: str, files: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Groups of files of at most `MAX_OBJECT_BYTES` each."""
    parcel: dict[str, str] = {}
    size = 0
    for name, content in files.items():
        length = len(content.encode()) + 300
        if length > MAX_OBJECT_BYTES:
            reason = f"it has {length - 300} bytes: at most {MAX_OBJECT_BYTES - 300} fit into one object of the cluster"
            raise EngineRefused(_ENGINE, reason, field=f"{field}.{name}", value=name)
        if parcel and size + length > MAX_OBJECT_BYTES:
            yield parcel
            parcel, size = {}, 0
        parcel[name] = content
        size += length
    if parcel:
        yield parcel


def _numbered(name: str, at: int, *, named: str | None) -> str:
    """The first object of a name that the work chose has that name alone."""
    return name if named and at == 0 else f"{name}-{at}"


def _keys(files: Collection[str]) -> dict[str, str]:
    """File → its key: its name, or where one of them is a path, which a key may not be, a number."""
    plain = all(_KEY.fullmatch(name) for name in files)
    return {name: name if plain else f"file-{at}" for at, name in enumerate(files)}


def _keyed(files: Mapping[str, str]) -> dict[str, str]:
    keys = _keys(files)
    return {keys[name]: content for name, content in files.items()}


def _items(files: Collection[str]) -> Sequence[dict[str, str]]:
    return [{"key": key, "path": name} for name, key in _keys(files).items()]


def _encoded(values: Mapping[str, str]) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
