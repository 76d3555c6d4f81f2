"""The examples of senders in `docs/examples/events`, each against a real gateway and Kafka where its toolchain is."""

import asyncio
import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from signalbox_contracts.external_events import read_outside
from signalbox_contracts.topics import topic
from support.gateway import JOB, SCRIPTED, Gateway, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "events"
SECRET = "whsec_" + b64encode(b"s" * 32).decode()
SENDERS = {
    "python3": ["python3", "send_event.py"],
    "java": ["java", "SendEvent.java"],
    "kcat": ["sh", "send_event.sh"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        target = {"kind": "job", "id": "nightly"}
        await api.ask("POST", "/triggers", {"id": "files", "target": target, "match": {"sources": ["lake"]}})
        await api.ask("PUT", "/event-sources/lake", {"signing_secrets": [SECRET]})
        yield api


@pytest.mark.parametrize("tool", SENDERS)
async def test_an_example_sends_an_event_that_is_read_as_it_was_meant(api: Gateway, tool: str) -> None:
    if shutil.which(tool) is None or (tool == "java" and not _java_compiles()):
        pytest.skip(f"{tool} is not installed, or cannot run sources")
    data = json.dumps({"path": "/in/ä"})
    await asyncio.to_thread(_send, api, SENDERS[tool], data, tool)
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=api.bootstrap, auto_offset_reset="earliest")
    consumer.subscribe([topic("triggers.v1").full_name(f"{api.schema}.")])
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            event = None
            while event is None or event.id != tool:
                record = await consumer.getone()
                event = read_outside(record.value, record.headers, datetime.fromtimestamp(record.timestamp / 1000, UTC))
    finally:
        await consumer.stop()
    assert (event.source, event.type, event.data) == ("lake", "file.created", json.loads(data))


def _java_compiles() -> bool:
    listed = subprocess.run(["java", "--list-modules"], capture_output=True, text=True, check=False, timeout=60)
    return "jdk.compiler" in listed.stdout


def _send(api: Gateway, command: list[str], data: str, id: str) -> None:
    environment = {
        **os.environ, "SIGNALBOX_URL": api.url, "SIGNING_SECRET": SECRET, "KAFKA": api.bootstrap,
        "TOPIC": f"{api.schema}.triggers.v1",
    }  # fmt: skip
    environment.pop("SIGNALBOX_TOKEN", None)
    done = subprocess.run(
        [*command, "lake", "file.created", data, id], cwd=EXAMPLES, env=environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
