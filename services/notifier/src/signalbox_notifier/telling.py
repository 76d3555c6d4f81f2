"""Turns notices into deliveries: one for each subscription that wants it, and few for an incident."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.channel import Subscription
from signalbox_contracts.ids import delivery_id
from signalbox_contracts.notifications import Message, digest_message
from signalbox_notifier import incidents
from signalbox_notifier.incidents import Incident
from signalbox_notifier.notices import FAILURES, Notice, PlanSummary, wants
from signalbox_notifier.settings import NotifierSettings
from signalbox_notifier.store import definitions, deliveries, digests
from signalbox_notifier.store import incidents as rows
from signalbox_notifier.store.deliveries import NewDelivery

NO_TRACES: Final[Mapping[UUID, str]] = {}


@dataclass
class Telling:
    """Works in the transaction of a handler or a loop."""

    settings: NotifierSettings

    async def tell(
        self, connection: Connection, notices: Sequence[Notice], *, traces: Mapping[UUID, str] = NO_TRACES,
        except_channels: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """Make the deliveries of these notices."""
        subscriptions = await definitions.subscriptions(connection) if notices else []
        subscriptions = [one for one in subscriptions if one.channel not in except_channels]
        failures: list[tuple[Notice, list[Subscription]]] = []
        for notice in notices:
            wanting = [one for one in subscriptions if wants(one, notice)]
            if notice.type in FAILURES:
                if wanting:
                    failures.append((notice, wanting))
                continue
            for subscription in wanting:
                await self._add(connection, subscription, notice, traces.get(notice.plan.plan_id))
        await self._occur(connection, failures, traces)
        await self._recover(connection, [one for one in notices if one.type == "workflow.completed"], subscriptions)

    async def _add(
        self, connection: Connection, subscription: Subscription, notice: Notice, traceparent: str | None
    ) -> None:
        message = self.message(notice)
        if subscription.digest_seconds > 0:
            await digests.add(connection, subscription.id, notice.event_id, message, subscription.digest_seconds)
            return
        await deliveries.add(
            connection,
            NewDelivery(
                id=delivery_id(subscription.channel, subscription.id, notice.event_id), channel_id=subscription.channel,
                subscription_id=subscription.id, incident_id=None, plan_id=notice.plan.plan_id,
                event_id=notice.event_id, event_type=notice.type, title=notice.title,
                message=message.model_dump_json(), traceparent=traceparent,
            ),
        )  # fmt: skip

    async def _occur(
        self,
        connection: Connection,
        failures: Sequence[tuple[Notice, list[Subscription]]],
        traces: Mapping[UUID, str],
    ) -> None:
        """Count failures into their incidents; tell channels of new ones, and plan updates for those that know."""
        ids = [incidents.incident_id(notice.grouping, notice.fingerprint) for notice, _ in failures]
        known = await rows.lock(connection, ids) if ids else {}
        last: dict[UUID, tuple[Notice, list[Subscription]]] = {}
        for (notice, wanting), id in zip(failures, ids, strict=True):
            known[id] = incidents.occur(known.get(id), notice)
            last[id] = notice, wanting
        await rows.save(connection, [known[id] for id in last])
        for id, (notice, wanting) in last.items():
            previous = await rows.messages(connection, id)
            for subscription in _one_per_channel(wanting):
                if incidents.needs_message(known[id], previous.get(subscription.channel)):
                    await self.notify_incident(
                        connection, known[id], subscription.channel, subscription.id, notice,
                        traces.get(notice.plan.plan_id),
                    )  # fmt: skip
                else:
                    seconds = max(self.settings.incident_update_seconds, subscription.digest_seconds)
                    await rows.schedule_update(connection, id, subscription.channel, seconds)

    async def _recover(
        self, connection: Connection, completed: Sequence[Notice], subscriptions: Sequence[Subscription]
    ) -> None:
        """What failed succeeds again: its incidents have recovered, and whoever was told of them is told so."""
        if not completed:
            return
        at = {notice.grouping: notice.at for notice in completed}
        known = await rows.lock_open(connection, list(at))
        recovered = [(one, incidents.recover(one, at[one.grouping])) for one in known]
        changed = [after for before, after in recovered if after is not before]
        await rows.save(connection, changed)
        for incident in changed:
            await self.notify_recovered(connection, incident)

    async def notify_recovered(self, connection: Connection, incident: Incident) -> None:
        """Tell every channel that had a message of this round that the incident is over."""
        for channel, message in (await rows.messages(connection, incident.id)).items():
            if message.round == incident.round:
                await self.notify_incident(connection, incident, channel, "", None, None)

    async def notify_incident(
        self, connection: Connection, incident: Incident, channel: str, subscription: str,
        notice: Notice | None, traceparent: str | None,
    ) -> None:  # fmt: skip
        """One message about an incident as it is now. Where the channel can, it replaces the last one."""
        sequence, _ = await rows.save_message(connection, incident, channel, subscription)
        event_id = f"incident:{incident.id}:{incident.round}:{sequence}"
        message = self.incident_message(incident, notice)
        id = delivery_id(channel, subscription, event_id)
        await deliveries.supersede(connection, incident.id, channel, id, is_failure=message.type in FAILURES)
        await deliveries.add(
            connection,
            NewDelivery(
                id=id, channel_id=channel,
                subscription_id=subscription or None, incident_id=incident.id, plan_id=incident.plan_id,
                event_id=event_id, event_type=message.type, title=message.title, message=message.model_dump_json(),
                traceparent=traceparent,
            ),
        )  # fmt: skip

    async def notify_digest(
        self, connection: Connection, subscription: Subscription, entries: Sequence[tuple[str, Message]]
    ) -> None:
        """One message for all that a subscription collected; none for nothing."""
        if not entries:
            return
        event_id = f"digest:{subscription.id}:{entries[0][0]}:{len(entries)}"
        message = entries[0][1] if len(entries) == 1 else digest_message([one for _, one in entries])
        await deliveries.add(
            connection,
            NewDelivery(
                id=delivery_id(subscription.channel, subscription.id, event_id), channel_id=subscription.channel,
                subscription_id=subscription.id, incident_id=None, plan_id=None, event_id=event_id,
                event_type=message.type, title=message.title, message=message.model_dump_json(),
            ),
        )  # fmt: skip

    def message(self, notice: Notice) -> Message:
        """A notice as a message."""
        plan = notice.plan
        details: dict[str, Any] = dict(notice.details)
        return Message(
            type=notice.type, severity=notice.severity, title=notice.title, text=notice.text, at=notice.at,
            plan_id=str(plan.plan_id), plan_name=plan.name, target=plan.target, project=plan.project,
            labels=dict(plan.labels), event_date=plan.event_date.isoformat() if plan.event_date else None,
            link=self.link(plan.plan_id), details=details,
        )  # fmt: skip

    def incident_message(self, incident: Incident, notice: Notice | None) -> Message:
        """An incident as a message."""
        recovered = incident.state == "RECOVERED"
        base = self.message(notice) if notice is not None else None
        since = f"since {incident.first_at:%Y-%m-%d %H:%M} UTC, last at {incident.last_at:%H:%M:%S} UTC"
        text = f"{base.text}\n{since}" if base is not None and base.text else since
        return Message(
            type="incident.recovered" if recovered else (base.type if base else "incident.updated"),
            severity="recovered" if recovered else incident.severity,
            title=f"{'Recovered: ' if recovered else ''}{incident.title}"[:200], text=text[:2000],
            at=incident.recovered_at or incident.last_at, plan_id=str(incident.plan_id) if incident.plan_id else None,
            plan_name=base.plan_name if base else "", target=base.target if base else _target(incident),
            project=incident.project, labels=incident.labels, event_date=base.event_date if base else None,
            incident_id=str(incident.id), occurrences=incident.occurrences,
            link=self.link(incident.plan_id) if incident.plan_id else "", details=base.details if base else {},
        )  # fmt: skip

    def link(self, plan_id: UUID) -> str:
        """Where a person reads more; empty when no public address is set."""
        base = self.settings.public_url.rstrip("/")
        return f"{base}/plans/{plan_id}" if base else ""


def deadline_notice(plan: PlanSummary, subscription: Subscription, rule: str, due_at: datetime) -> Notice:
    """A plan that has not started or ended in time."""
    words = {
        "start_by": "has not started", "end_by": "has not ended", "longer_than": "runs longer than it should",
    }[rule]  # fmt: skip
    return Notice(
        event_id=f"deadline:{plan.plan_id}:{subscription.id}:{rule}", type="deadline.missed", severity="warning",
        title=f"{plan.name or plan.plan_id} {words}"[:200], at=due_at, plan=plan,
        text=f"{rule} of subscription {subscription.id}: {due_at:%Y-%m-%d %H:%M:%S} UTC", details={"rule": rule},
    )  # fmt: skip


def update_after(incident: Incident) -> datetime | None:
    """When an update that is withheld may be sent: the end of the snooze."""
    return incident.snoozed_until + timedelta(seconds=1) if incident.snoozed_until is not None else None


def _one_per_channel(subscriptions: Sequence[Subscription]) -> list[Subscription]:
    return list({one.channel: one for one in reversed(subscriptions)}.values())


def _target(incident: Incident) -> str | None:
    target = incident.grouping.partition("/")[2]
    return target or None
