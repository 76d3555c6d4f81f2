"""The whole product with a real Airflow as its default engine, called as the document's user calls it."""

import asyncio
import base64
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr

from engines.airflow.harness import Harness
from engines.product import Product, changed_settings
from signalbox_chassis.security.vault import provision_vault
from signalbox_local.ports import free_ports
from signalbox_notifier.live.server import LiveServer
from support.deadlines import DeadlineExceeded, wait_until
from support.full_stack import FullStack, make_full_stack
from support.gateway import Answer
from support.notifier import Receiver, receiver

ENDED: Final = ("completed", "failed", "stopped")
PIPELINES: Final = Path(__file__).parents[3] / "docs" / "examples" / "pipelines"
POLL_SECONDS: Final = 0.25
"""How often the API is read: the machine shall run Airflow, not these questions."""


@dataclass
class Mailbox:
    """The event types that an SMTP server of this test got mail about."""

    types: set[str] = field(default_factory=set[str])

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- the library's name
        text: str = envelope.content.decode(errors="replace")
        self.types.update(re.findall(r"^event: (\S+)", text, re.MULTILINE))
        return "250 OK"


@dataclass
class AirflowProduct(Product):
    """Every service, the real Airflow, and where its notices arrive."""

    stack: FullStack
    airflow: Harness
    slack: Receiver
    webhook: Receiver
    mailbox: Mailbox
    folder: Path

    @property
    def program(self) -> Path:
        """The program of the example pipelines, which the process engine may run."""
        return self.folder / "steps"

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.stack.answer(method, path, body)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        return await self.stack.ask(method, path, body)

    async def run_until(self, workflow: str, run: str, *states: str, seconds: float = 180) -> dict[str, Any]:
        """Read the run until it is in one of these states; without any, until it has ended."""
        wanted = states or ENDED
        seen: list[dict[str, Any]] = []

        async def there() -> bool:
            seen.append(await self.ask("GET", f"/workflows/{workflow}/runs/{run}"))
            return seen[-1]["state"] in wanted

        try:
            await wait_until(
                there, seconds=seconds, why=f"run {run} is {' or '.join(wanted)}", poll_seconds=POLL_SECONDS
            )
        except DeadlineExceeded:
            pytest.fail(f"run {run} is not {wanted}: {json.dumps(seen[-1], indent=1)}")
        return seen[-1]

    async def tasks_until(self, workflow: str, run: str, **states: str) -> dict[str, str]:
        """Read the run until these tasks are in these states."""
        seen: dict[str, str] = {}

        async def there() -> bool:
            tasks = (await self.ask("GET", f"/workflows/{workflow}/runs/{run}"))["tasks"]
            seen.update((task["task_id"], task["state"]) for task in tasks)
            return all(seen.get(name) == state for name, state in states.items())

        await wait_until(there, seconds=120, why=f"run {run} shows {states}", poll_seconds=POLL_SECONDS)
        return seen

    async def control(self, workflow: str, run: str, action: str, note: str = "", **more: Any) -> Answer:
        return await self.call(
            "POST", f"/workflows/{workflow}/runs/{run}/control", {"action": action, "note": note, **more}
        )

    @asynccontextmanager
    async def following(self, path: str, token: str = "") -> AsyncGenerator[list[dict[str, Any]]]:
        """The events one of the document's WebSocket paths sends meanwhile."""
        assert self.stack.session is not None
        events: list[dict[str, Any]] = []
        headers = {"Authorization": f"Bearer {token or self.stack.token}"}
        async with self.stack.session.ws_connect(f"/api/v1{path}", headers=headers) as socket:

            async def read() -> None:
                async for message in socket:
                    assert message.type is aiohttp.WSMsgType.TEXT
                    event = json.loads(message.data)
                    events.append(event)

            reading = asyncio.create_task(read())
            try:
                yield events
            finally:
                await socket.close()
                await reading


@asynccontextmanager
async def running_product(
    airflow: Harness, postgres_url: str, kafka_bootstrap: str, redis_url: str, folder: Path
) -> AsyncGenerator[AirflowProduct]:
    """The product configured by the document's variables, with a vault, a live feed and places for notices."""
    mailbox = Mailbox()
    smtp = Controller(mailbox, hostname="127.0.0.1", port=free_ports(1)[0])
    smtp.start()
    changes: dict[str, Any] = {
        "blob_url": (folder / "blobs").as_uri(), "airflow_url": airflow.server.url, "redis_url": SecretStr(redis_url),
        "smtp_host": "127.0.0.1", "smtp_port": smtp.port, "smtp_security": "none",
    }  # fmt: skip
    async with AsyncExitStack() as exits:
        exits.callback(smtp.stop)
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        for name, value in {**airflow.settings, **_process_settings(folder)}.items():
            patch.setenv(name.removeprefix("SIGNALBOX_") if "AIRFLOW" in name else name, value)
        patch.setattr(FullStack, "settings", changed_settings(FullStack.settings, changes))
        stack = await exits.enter_async_context(
            make_full_stack(postgres_url, kafka_bootstrap, "http://127.0.0.1:9", folder)
        )
        await _open_vault_and_feed(stack, postgres_url, changes)
        engine = await stack.ask("GET", "/engines/airflow")
        fields = ("id", "name", "connection", "labels", "limits")
        writable = {name: engine[name] for name in fields if name in engine}
        await stack.ask("PUT", "/engines/airflow", {**writable, "observe_every_seconds": 0.5})
        slack, webhook = [await exits.enter_async_context(receiver()) for _ in range(2)]
        yield AirflowProduct(stack, airflow, slack, webhook, mailbox, folder)


def _process_settings(folder: Path) -> dict[str, str]:
    """The process engine may run the example pipelines' program, and nothing else."""
    program = folder / "steps"
    source = (PIPELINES / "steps.py").read_text()
    program.write_text(source.replace("#!/usr/bin/env python3", f"#!{sys.executable} -IS", 1))
    program.chmod(0o755)
    return {
        "SIGNALBOX_PROCESS_FOLDER": str(folder / "process"), "SIGNALBOX_PROCESS_PROGRAMS": str(program),
        "SIGNALBOX_PROCESS_USER": "0" if os.geteuid() == 0 else "",
    }  # fmt: skip


async def _open_vault_and_feed(stack: FullStack, postgres_url: str, changes: dict[str, Any]) -> None:
    """Start gateway, notifier and executor once more, with the vault they share and the feed's address."""
    names = ("api-gateway", "notifier", "executor")
    await stack.stop(*names)
    schema, key = f"s{uuid.uuid4().hex[:12]}", SecretStr(base64.b64encode(os.urandom(32)).decode())
    writer, *readers = (stack.store(name).schema for name in names)
    uses = dict(zip(readers, (("channel",), ("work", "engine")), strict=True))
    await provision_vault(postgres_url, writer_role=writer, readers=uses, schema=schema)

    def own_secrets_url(service: str) -> SecretStr:
        return SecretStr(stack.store(service).url)

    changes["secrets_schema"] = schema
    changes["secret_key"] = key
    changes["secrets_url"] = own_secrets_url
    await stack.start("notifier", "executor")
    (feed,) = [part for _, part in stack.running["notifier"].parts if isinstance(part, LiveServer)]
    changes["live_urls"] = feed.address
    await stack.start("api-gateway")


def types_of(events: Collection[Mapping[str, Any]], run: str) -> list[str]:
    """The event types of one run, as they came."""
    return [event["type"] for event in events if event["run_id"] == run]
