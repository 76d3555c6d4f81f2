"""Events: where the cluster says why a Job gets no pods. A Job whose pods cannot be created has no condition of it."""

from collections.abc import Mapping
from typing import Any, Final

from signalbox_executor.engines.kubernetes.api import ApiRefusal, KubernetesApi

MAX_PAGES: Final = 8
_FAILURES: Final = frozenset({"FailedCreate", "FailedScheduling", "Failed", "FailedMount", "FailedCreatePodSandBox"})


async def newest_failure(api: KubernetesApi, uid: str) -> str:
    """Reason and message of the newest warning about this object; empty without one, or without the right to read."""
    return await _newest(api, f"involvedObject.uid={uid},type=Warning", "")


async def newest_pod_failure(api: KubernetesApi, job_name: str) -> str:
    """The same of the pods of a Job, which may be gone."""
    return await _newest(api, "involvedObject.kind=Pod,type=Warning", f"{job_name}-")


async def _newest(api: KubernetesApi, selector: str, name: str) -> str:
    newest: tuple[str, str] = ("", "")
    pages = 0
    try:
        async for page in api.pages(api.path("events"), fieldSelector=selector):
            for event in page.get("items", ()):
                if str(event.get("involvedObject", {}).get("name", "")).startswith(name):
                    newest = max(newest, (_at(event), _described(event)))
            pages += 1
            if pages == MAX_PAGES:
                break
    except ApiRefusal:
        return ""
    return newest[1]


def _at(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _described(event: Mapping[str, Any]) -> str:
    reason, message = str(event.get("reason", "")), str(event.get("message", ""))
    return f"{reason}: {message}"[:1000] if reason in _FAILURES else ""
