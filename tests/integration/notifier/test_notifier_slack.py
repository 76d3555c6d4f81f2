"""Slack by a stand-in that refuses for a while and forgets messages; channels in words of their own; digests."""

import base64
import json
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from signalbox_chassis.persistence.connection import connect
from signalbox_chassis.security.vault import Vault, provision_vault
from signalbox_contracts.definitions.channel import Channel
from support.notifier import Notifiers, Receiver, plan_state, receiver, subscription, webhook
from support.service_fixture import until

KEY = base64.b64encode(os.urandom(32)).decode()


@dataclass
class Slack:
    """The two methods of the Web API that the notifier calls: 429 for `limited_seconds` from the first call on."""

    limited_seconds: float = 0.0
    limited_until: float | None = None
    forgets: bool = False
    refused: int = 0
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    messages: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer xoxb-token"
        now = time.monotonic()
        if self.limited_until is None:
            self.limited_until = now + self.limited_seconds
        if now < self.limited_until:
            self.refused += 1
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "1"})
        method, body = request.path.rpartition("/")[2], await request.json()
        self.calls.append((method, body))
        if method == "chat.update" and (self.forgets or body["ts"] not in self.messages):
            return web.json_response({"ok": False, "error": "message_not_found"})
        stamp = body["ts"] if method == "chat.update" else f"{len(self.calls)}.0"
        self.messages[stamp] = body
        return web.json_response({"ok": True, "channel": "C1", "ts": stamp})


@asynccontextmanager
async def slack(notifiers: Notifiers, postgres_url: str) -> AsyncGenerator[tuple[Slack, Receiver, dict[str, Any]]]:
    """A stand-in, and the settings of notifiers that reach it."""
    stand_in, vault_schema = Slack(), f"{notifiers.schema}_vault"
    await provision_vault(
        postgres_url, writer_role=notifiers.schema, readers={notifiers.schema: ("channel",)}, schema=vault_schema
    )
    vault = Vault(notifiers.url, keys=KEY, schema=vault_schema)
    await vault.set("slack-token", "xoxb-token", ["channel"])
    await vault.stop()
    async with receiver(stand_in.answer) as server:
        yield stand_in, server, {
            "secret_key": SecretStr(KEY), "secrets_url": SecretStr(notifiers.url), "secrets_schema": vault_schema,
            "slack_api_url": f"{server.url}/api", "incident_update_seconds": 1.0,
        }  # fmt: skip
    connection = await connect(postgres_url)
    await connection.execute(f"DROP SCHEMA {vault_schema} CASCADE")
    await connection.close()


def channel(**changes: Any) -> Channel:
    destination = {"kind": "slack", "token": "secret://slack-token", "channel": "#data"}
    values = {"id": "team", "name": "team", "destination": destination, "messages_per_minute": 10_000, **changes}
    return Channel.model_validate(values)


def failure(number: int = 1) -> Any:
    return plan_state("ACCEPTED", "RUNNING", "FAILED", reason=f"exit code 1 in run {number}")


async def test_an_incident_is_one_message_that_is_edited_and_its_recovery_a_reply_in_the_thread(
    notifiers: Notifiers, postgres_url: str
) -> None:
    """A Slack that asks for a pause gets nothing meanwhile but one try a pause, and what it forgot is posted again."""
    async with slack(notifiers, postgres_url) as (stand_in, _, settings):
        stand_in.limited_seconds = 3
        await notifiers.define(channel(), subscription("s", "team", "workflow.failed", "workflow.completed"))
        async with notifiers.notifying(**settings):
            for number in range(20):
                await notifiers.publish(failure(number))

            async def shown(text: str, count: int = 1) -> bool:
                return sum(text in body["text"] for body in stand_in.messages.values()) >= count

            await until(lambda: shown("×20"), seconds=60, why="the message has the full count after the pause")
            assert 1 <= stand_in.refused <= 5
            posted = [body for method, body in stand_in.calls if method == "chat.postMessage"]
            assert len(posted) == 1
            assert posted[0]["metadata"]["event_payload"]["id"]
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", "SUCCEEDED"))

            async def replied() -> bool:
                return any("Recovered" in body["text"] and body.get("thread_ts") for _, body in stand_in.calls)

            await until(replied, why="the recovery is a reply in the thread")
            assert {body["ts"] for method, body in stand_in.calls if method == "chat.update"} == {"1.0"}
            stand_in.forgets = True
            await notifiers.publish(failure(1))
            await until(lambda: shown("exit code 1 in run 1"), why="a new round is a new message")
            await notifiers.publish(failure(2))
            await until(lambda: shown("×2)", 1), why="a message that Slack forgot is posted again")

            async def settled() -> bool:
                unsent = "SELECT count(*) FROM delivery WHERE state NOT IN ('sent', 'dropped')"
                return await notifiers.value(unsent) == 0

            await until(settled, why="every message is sent or dropped")
    assert await notifiers.value("SELECT max(attempts - throttled) FROM delivery") == 1


async def test_messages_have_the_words_of_their_channel_and_a_digest_has_all_of_a_while(notifiers: Notifiers) -> None:
    """A template that fails for one message costs that message its words, and nothing else."""
    words = {"title": "{{ plan_name }} -> {{ details.state }}", "text": "owner {{ labels.owner }}"}
    async with receiver() as hook, receiver() as bundled:
        await notifiers.define(
            webhook("hook", hook.url, templates=words), webhook("bundled", bundled.url),
            subscription("s", "hook", "workflow.started"),
            subscription("d", "bundled", "workflow.started", "workflow.completed", digest_seconds=3),
        )  # fmt: skip
        async with notifiers.notifying():
            await notifiers.publish(
                plan_state("ACCEPTED", "RUNNING", labels={"owner": "ann"}),
                plan_state("ACCEPTED", "RUNNING", "SUCCEEDED"),
            )

            async def came() -> bool:
                return len(hook.got) == 2 and len(bundled.got) == 1

            await until(came, why="two messages, and one digest of three events")
    sent = [json.loads(body)["data"] for _, body in hook.got]
    assert {one["title"] for one in sent} == {"Nightly -> RUNNING"}
    assert {one["text"] for one in sent} == {"owner ann", ""}
    answers = await notifiers.rows("SELECT answer FROM delivery_try WHERE answer LIKE '%templates.text%owner%'")
    assert len(answers) == 1
    digest = json.loads(bundled.got[0][1])
    assert (digest["type"], digest["data"]["title"], digest["data"]["occurrences"]) == (
        "digest", "3 events: 1 workflow.completed, 2 workflow.started", 3,
    )  # fmt: skip
    assert await notifiers.value("SELECT count(*) FROM digest_entry") == 0


async def test_late_messages_are_reported_by_a_channel_that_is_not_late(notifiers: Notifiers) -> None:
    """Nobody may find out weeks later that no message came."""
    async with receiver() as stuck, receiver() as good:
        await notifiers.define(
            webhook("stuck", stuck.url, messages_per_minute=0.1), webhook("good", good.url),
            subscription("s", "stuck", "workflow.started"),
            subscription("own", "stuck", "system.notifications_late"),
            subscription("late", "good", "system.notifications_late"),
        )  # fmt: skip
        async with notifiers.notifying(notifications_late_seconds=5.0):
            await notifiers.publish(*(plan_state("ACCEPTED", "RUNNING") for _ in range(3)))

            async def reported() -> bool:
                return len(good.got) == 1

            await until(reported, seconds=40, why="the lateness is reported by the other channel")
    message = json.loads(good.got[0][1])
    assert message["type"] == "system.notifications_late"
    assert message["data"]["text"].startswith("channels: stuck (")
    assert list(message["data"]["details"]["channels"]) == ["stuck"]
    assert await notifiers.value("SELECT count(*) FROM late_alarm") == 1
