"""What a refusal of the API server means for a submit: wrong work, a limit that may be free later, a missing right."""

import re
from typing import Final

from signalbox_executor.engines.kubernetes.api import ApiRefusal
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable

QUOTA_RETRY_SECONDS: Final = 15.0
_QUOTA: Final = re.compile(r"exceeded quota: ([^,]+), .*limited: (\S+)$")
_UNKNOWN_FIELD: Final = re.compile(r'unknown field "([^"]+)"')
_TEMPLATE: Final = "spec.template."
_PLACES: Final = {
    "spec.template.spec.containers[0].image": "work.image",
    "spec.template.spec.serviceAccountName": "work.service_account",
    "spec.template.spec.nodeSelector": "work.node_selector",
    "spec.template.spec.tolerations": "work.tolerations",
    "spec.template.spec.containers[0].resources": "work.limits",
    "spec.template.spec.containers[0].env": "work.environment",
    "spec.template.spec.containers[0].volumeMounts": "work.files_at",
    "spec.template.labels": "work.labels",
    "metadata.labels": "work.labels",
}


def submit_error(engine: str, refusal: ApiRefusal) -> Exception:
    """The port's error for a refused create."""
    quota = exceeded_quota(refusal)
    if quota is not None:
        name, limits = quota
        if re.search(r"=0(,|$)", limits):
            return EngineRefused(engine, f"quota {name} of the namespace allows none: {limits}", field="work")
        return EngineThrottled(engine, QUOTA_RETRY_SECONDS, f"quota {name} of the namespace is used up: {limits}")
    if refusal.code == 409:
        return EngineUnavailable(engine, str(refusal))
    return EngineRefused(engine, str(refusal), field=field_of(refusal))


def exceeded_quota(refusal: ApiRefusal) -> tuple[str, str] | None:
    """Name and limits of the quota that is used up. Status and reason are those of a missing right: only the text says
    it (seen with 1.35: `exceeded quota: q, requested: count/jobs.batch=1, used: …, limited: count/jobs.batch=0`)."""
    found = _QUOTA.search(refusal.message) if refusal.code == 403 else None
    return (found[1], found[2]) if found else None


def field_of(refusal: ApiRefusal) -> str:
    """What in the work is wrong. A strict decoding error names the field in its text alone (seen with 1.35)."""
    named = refusal.causes[0].field if refusal.causes else ""
    if not named and (found := _UNKNOWN_FIELD.search(refusal.message)):
        named = found[1]
    for place, field in _PLACES.items():
        if named == place or named.startswith((f"{place}.", f"{place}[")):
            return field
    if named.startswith(_TEMPLATE):
        return f"work.pod_template.{named.removeprefix(_TEMPLATE)}"[:200]
    return f"work ({named})"[:200] if named else "work"
