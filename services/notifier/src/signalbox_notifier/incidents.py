"""Incidents: failures of one cause are one incident, and an incident is few messages. Pure.

`OPEN → ACKNOWLEDGED | SNOOZED → RECOVERED`, and back to OPEN with a failure after the recovery (a new round).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from signalbox_contracts.definitions.channel import Severity
from signalbox_contracts.ids import NAMESPACE
from signalbox_notifier.notices import SEVERITIES, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident as it is now."""

    id: UUID
    grouping: str
    fingerprint: str
    state: str
    severity: Severity
    title: str
    project: str
    plan_id: UUID | None
    labels: dict[str, str]
    occurrences: int
    round: int
    first_at: datetime
    last_at: datetime
    acknowledged_by: str | None = None
    snoozed_until: datetime | None = None
    recovered_at: datetime | None = None
    note: str = ""
    version: int = 1

    @property
    def silent(self) -> bool:
        """Whether messages about it are withheld."""
        return self.state == "SNOOZED"


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel was sent about an incident."""

    round: int
    occurrences: int
    update_at: datetime | None


def incident_id(grouping: str, fingerprint: str) -> UUID:
    """The same cause in the same group is always the same incident."""
    return uuid5(NAMESPACE, f"incident:{len(grouping)}.{grouping}{fingerprint}")


def occur(incident: Incident | None, notice: Notice) -> Incident:
    """One more failure. After a recovery the incident is open again, in its next round."""
    if incident is None:
        return Incident(
            id=incident_id(notice.grouping, notice.fingerprint), grouping=notice.grouping,
            fingerprint=notice.fingerprint, state="OPEN", severity=notice.severity, title=_title(notice),
            project=notice.plan.project, plan_id=notice.plan.plan_id, labels=dict(notice.plan.labels), occurrences=1,
            round=1, first_at=notice.at, last_at=notice.at,
        )  # fmt: skip
    severity = max(incident.severity, notice.severity, key=SEVERITIES.__getitem__)
    more = replace(
        incident, occurrences=incident.occurrences + 1, last_at=max(incident.last_at, notice.at), severity=severity,
        plan_id=notice.plan.plan_id, version=incident.version + 1,
    )  # fmt: skip
    if incident.state != "RECOVERED":
        return more
    return replace(
        more, state="OPEN", round=incident.round + 1, occurrences=1, first_at=notice.at, acknowledged_by=None,
        snoozed_until=None, recovered_at=None, title=_title(notice),
    )  # fmt: skip


def recover(incident: Incident, at: datetime) -> Incident:
    """What failed succeeds again."""
    if incident.state == "RECOVERED" or at < incident.last_at:
        return incident
    return replace(incident, state="RECOVERED", recovered_at=at, version=incident.version + 1)


def resolve(incident: Incident, actor: str, note: str, at: datetime) -> Incident:
    """A person ends it. Raises `ValueError` when it is over."""
    _require_open(incident)
    return replace(
        incident, state="RECOVERED", recovered_at=max(at, incident.last_at), acknowledged_by=actor, note=note,
        snoozed_until=None, version=incident.version + 1,
    )  # fmt: skip


def acknowledge(incident: Incident, actor: str, note: str) -> Incident:
    """Somebody looks after it. Raises `ValueError` when it is over."""
    _require_open(incident)
    return replace(
        incident, state="ACKNOWLEDGED", acknowledged_by=actor, note=note, snoozed_until=None,
        version=incident.version + 1,
    )  # fmt: skip


def snooze(incident: Incident, until: datetime, actor: str, note: str, now: datetime) -> Incident:
    """Withhold messages until then. Raises `ValueError` when it is over, or the time has passed."""
    _require_open(incident)
    if until <= now:
        raise ValueError(f"until {until.isoformat()} has passed")
    return replace(
        incident, state="SNOOZED", snoozed_until=until, acknowledged_by=actor, note=note, version=incident.version + 1
    )


def wake(incident: Incident, now: datetime) -> Incident:
    """The end of a snooze: it is open again."""
    if incident.state != "SNOOZED" or incident.snoozed_until is None or incident.snoozed_until > now:
        return incident
    return replace(incident, state="OPEN", snoozed_until=None, version=incident.version + 1)


def needs_message(incident: Incident, message: Message | None) -> bool:
    """Whether a channel has to be told at once: of a new incident, or of a new round."""
    return not incident.silent and (message is None or message.round < incident.round)


def _require_open(incident: Incident) -> None:
    if incident.state == "RECOVERED":
        raise ValueError("the incident has recovered: nothing is left to do")


def _title(notice: Notice) -> str:
    what = notice.plan.target or notice.plan.name or str(notice.plan.plan_id)
    first = notice.text.splitlines()[0] if notice.text else notice.title
    return f"{what}: {first}"[:200]
