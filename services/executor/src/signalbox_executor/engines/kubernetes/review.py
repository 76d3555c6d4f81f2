"""What our account may do in a namespace: asked verb by verb, as the API server itself would decide."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from signalbox_executor.engines.kubernetes.api import KubernetesApi

_PATH: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource of a namespace."""

    verb: str
    resource: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    def attributes(self, namespace: str) -> dict[str, str]:
        resource, _, part = self.resource.partition("/")
        return {
            "namespace": namespace,
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": part,
        }


NEEDED: Final = (
    *(Right(verb, "jobs", "batch") for verb in ("create", "get", "list", "watch", "patch", "delete")),
    *(Right(verb, resource) for resource in ("configmaps", "secrets") for verb in ("create", "get")),
    Right("list", "pods"),
    Right("get", "pods/log"),
    Right("list", "events"),
    Right("get", "namespaces"),
)
"""Every right the engine uses; `k8s/engines/kubernetes/role.yaml` grants exactly these."""


async def missing_rights(api: KubernetesApi) -> list[Right]:
    """The rights of `NEEDED` that our account does not have. Asking is allowed to every account."""
    allowed = await asyncio.gather(*(_is_allowed(api, right) for right in NEEDED))
    return [right for right, granted in zip(NEEDED, allowed, strict=True) if not granted]


async def _is_allowed(api: KubernetesApi, right: Right) -> bool:
    body: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": right.attributes(api.namespace)},
    }
    answer = await api.create(_PATH, body)
    return answer.get("status", {}).get("allowed") is True
