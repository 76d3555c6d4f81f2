"""Incidents, deliveries, channels and notification configurations over HTTP, with the notifier's facts from Kafka."""

import json
import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from signalbox_chassis.persistence.database import Database
from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.deliveries import DeliveryRecord, DeliveryState, DeliveryStated, Try
from signalbox_contracts.messages.states import IncidentRecord, IncidentState, IncidentStated
from signalbox_contracts.topics import topic_of
from signalbox_contracts.wire import encode
from signalbox_gateway.notification_watch import NotificationWatch
from support.gateway import Gateway, running_gateway
from support.notifier import receiver, status
from support.proofs import proves
from support.service_fixture import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SLACK = {
    "name": "slack-alerts", "channel": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/secret",
    "notification_types": ["workflow_failed", "workflow_completed"],
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.0) as made:
        yield made


async def publish_facts(gateway: Gateway, *events: Event[Any]) -> None:
    """Write facts as the notifier does."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=gateway.bootstrap)
    await producer.start()
    try:
        for event in events:
            record = encode(event)
            name = topic_of(type(event)).full_name(f"{gateway.schema}.")
            await producer.send_and_wait(name, record.value, key=record.key, headers=list(record.headers))
    finally:
        await producer.stop()


async def wait_for(gateway: Gateway, path: str) -> None:
    async def there() -> bool:
        return (await gateway.request("GET", path)).status == 200

    await until(there, why=f"{path} is shown")


def incident(version: int, state: str, id: uuid.UUID) -> IncidentStated:
    record = IncidentRecord(
        incident_id=id, version=version, state=IncidentState(state), severity="error", title="job:nightly: disk full",
        fingerprint="f", occurrences=version, first_at=NOW, last_at=NOW,
    )  # fmt: skip
    return IncidentStated.of(
        record, subject=f"incident:{id}", source="signalbox/notifier", time=NOW, aggregateversion=version,
        project="sales",
    )  # fmt: skip


def delivery(version: int, state: str, channel: str, id: uuid.UUID) -> DeliveryStated:
    record = DeliveryRecord(
        delivery_id=id, version=version, channel_id=channel, event_type="workflow.failed", title="Nightly: failed",
        state=DeliveryState(state), attempts=1, created_at=NOW,
        tries=(Try(number=1, at=NOW, state=DeliveryState(state), answer="HTTP 500"),),
    )  # fmt: skip
    return DeliveryStated.of(record, subject=id, source="signalbox/notifier", time=NOW, aggregateversion=version)


@proves("gateway.read_model.notifications: an older version changes nothing")
async def test_incidents_are_listed_and_operated_while_they_are_open(gateway: Gateway) -> None:
    id, over = uuid.uuid4(), uuid.uuid4()
    await publish_facts(gateway, incident(2, "open", id), incident(1, "snoozed", id), incident(3, "recovered", over))
    for shown in (id, over):
        await wait_for(gateway, f"/incidents/{shown}")
    listed = await gateway.ask("GET", "/incidents?state=open&severity=error&project=sales")
    assert [(one["id"], one["occurrences"]) for one in listed["items"]] == [(str(id), 2)]
    assert (await gateway.ask("GET", f"/incidents/{id}"))["title"] == "job:nightly: disk full"
    until_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for verb, body in (("acknowledge", {}), ("snooze", {"until_at": until_at}), ("resolve", {"reason": "mended"})):
        operation = await gateway.ask("POST", f"/incidents/{id}/{verb}", body)
        assert (operation["operation"], operation["state"]) == (f"incident.{verb}", "pending")
    late = await gateway.request("POST", f"/incidents/{id}/snooze", {"until_at": "2020-01-01T00:00:00Z"})
    assert (late.problem, late.fields) == ((422, "invalid"), ["until_at"])
    assert (await gateway.request("POST", f"/incidents/{over}/acknowledge", {})).problem == (409, "conflict")
    assert (await gateway.request("POST", f"/incidents/{uuid.uuid4()}/resolve", {})).problem == (404, "not-found")
    reader = await gateway.another_token("incident.read")
    assert (await gateway.request("POST", f"/incidents/{id}/resolve", {}, token=reader)).status == 403


async def test_deliveries_show_every_try_and_only_ended_ones_are_sent_again(gateway: Gateway) -> None:
    channel = f"hook-{uuid.uuid4().hex[:8]}"
    dead, running = uuid.uuid4(), uuid.uuid4()
    hook = {"id": channel, "destination": {"kind": "webhook", "url": "http://127.0.0.1:9/"}}
    await gateway.ask("POST", "/channels", hook)
    await publish_facts(gateway, delivery(3, "dead", channel, dead), delivery(1, "retrying", channel, running))
    for shown in (dead, running):
        await wait_for(gateway, f"/deliveries/{shown}")
    listed = await gateway.ask("GET", f"/deliveries?channel={channel}&state=dead")
    assert [one["tries"][0]["answer"] for one in listed["items"]] == ["HTTP 500"]
    first = await gateway.ask("GET", f"/deliveries?channel={channel}&limit=1")
    second = await gateway.ask("GET", f"/deliveries?channel={channel}&limit=1&cursor={first['next_cursor']}")
    assert {first["items"][0]["id"], second["items"][0]["id"]} == {str(dead), str(running)}
    begun = await gateway.ask("POST", "/deliveries/resend", {"ids": [str(dead)], "reason": "mended"})
    assert [(one["channel_id"], one["ids"]) for one in begun["operations"]] == [(channel, [str(dead)])]
    assert (await gateway.request("POST", "/deliveries/resend", {"ids": [str(running)]})).problem == (409, "conflict")
    unknown = await gateway.request("POST", "/deliveries/resend", {"ids": [str(uuid.uuid4())]})
    assert (unknown.problem, unknown.fields) == ((422, "invalid"), ["ids.0"])
    tested = await gateway.ask("POST", f"/channels/{channel}/test", {"reason": "is it there"})
    assert (tested["operation"], tested["target"]) == ("channel.test", f"channel:{channel}")
    await gateway.request("DELETE", f"/channels/{channel}")
    assert (await gateway.request("POST", "/deliveries/resend", {"ids": [str(dead)]})).problem == (409, "conflict")
    assert (await gateway.request("POST", f"/channels/{channel}/test", {})).problem == (404, "not-found")


async def test_a_configuration_is_a_channel_and_a_subscription_and_its_address_a_secret(gateway: Gateway) -> None:
    made = await gateway.ask("POST", "/notifications/configs", SLACK)
    assert made["id"] == made["channel_id"] == "slack-alerts"
    assert made["webhook_url"] == "secret://notification-slack-alerts"
    assert made["notification_types"] == ["workflow.failed", "workflow.completed"]
    channel = await gateway.ask("GET", "/channels/slack-alerts")
    assert channel["destination"]["webhook_url"] == "secret://notification-slack-alerts"
    assert (await gateway.ask("GET", "/subscriptions/slack-alerts"))["channel"] == "slack-alerts"
    assert (await gateway.ask("GET", "/secrets/notification-slack-alerts"))["uses"] == ["channel"]
    assert (await gateway.request("POST", "/notifications/configs", SLACK)).problem == (409, "conflict")
    changed = {**SLACK, "notification_types": ["task.failed"], "enabled": False}
    assert not (await gateway.ask("PUT", "/notifications/configs/slack-alerts", changed))["enabled"]
    assert [one["id"] for one in (await gateway.ask("GET", "/notifications/configs"))["items"]] == ["slack-alerts"]
    assert (await gateway.request("DELETE", "/notifications/configs/slack-alerts")).status == 204
    for gone in ("/channels/slack-alerts", "/subscriptions/slack-alerts", "/secrets/notification-slack-alerts"):
        assert (await gateway.request("GET", gone)).status == 404


async def test_a_configuration_that_cannot_work_changes_nothing(gateway: Gateway) -> None:
    async def refused(field: str, **changes: Any) -> str:
        answer = await gateway.request("POST", "/notifications/configs", {**SLACK, "name": "bad", **changes})
        assert answer.problem == (422, "invalid"), answer.text
        assert answer.fields == [field], answer.text
        return answer.body["detail"]

    assert "workflow.failed" in await refused("notification_types.0", notification_types=["workflow_exploded"])
    await refused("webhook_url", webhook_url=None)
    inside = "http://169.254.169.254/latest"
    assert "link-local" in await refused("webhook_url", webhook_url=inside)
    await refused("webhook_url", channel="webhook", webhook_url="http://10.0.0.1/")
    await refused("recipients", channel="email", webhook_url=None)
    for kind in ("channels", "subscriptions"):
        assert (await gateway.request("GET", f"/{kind}/bad")).status == 404
    unknown = {"id": "s", "channel": "c", "events": ["workflow.*", "wrkflow.failed"]}
    await gateway.ask(
        "POST", "/channels", {"id": "c", "destination": {"kind": "email", "to": ["ann@example.org"]}}
    )  # fmt: skip
    answer = await gateway.request("POST", "/subscriptions", unknown)
    assert (answer.problem, answer.fields) == ((422, "invalid"), ["events.1"])


async def test_a_notifier_that_is_gone_is_reported_by_the_gateway_itself_once_and_when_it_is_back(
    gateway: Gateway,
) -> None:
    """Nobody may find out weeks later that no message came: the alarm needs no notifier."""
    assert gateway.settings is not None
    name = f"{gateway.settings.group_prefix}notifier.facts"
    groups = [{"group": name, "members": 0, "lag": 3}, {"group": "planner.facts", "members": 0, "lag": 9}]

    async def look() -> list[dict[str, Any]]:
        return groups

    async with receiver(status(503), status(200)) as pager:
        settings = gateway.settings.model_copy(
            update={
                "alarm_url": SecretStr(pager.url), "notifications_late_seconds": 0.0, "egress_allow": "127.0.0.1",
            }
        )  # fmt: skip
        database: Database = gateway.identity.database
        watches = [NotificationWatch(database, settings, look) for _ in range(2)]
        for _ in range(4):  # the first post is refused, and made again
            for watch in watches:
                await watch.one_pass()
        assert len(pager.got) == 2
        groups[0] |= {"members": 1, "lag": 0}
        for watch in watches:
            watch.settings = settings.model_copy(update={"notifications_late_seconds": 60.0})
            await watch.one_pass()
    posted = [json.loads(body) for _, body in pager.got]
    assert [one["type"] for one in posted] == [*["system.notifications_late"] * 2, "system.notifications_recovered"]
    assert posted[1]["text"] == f"Signalbox: notifications are late: no notifier runs: {name}"
    assert posted[1]["since"] == posted[2]["since"]
