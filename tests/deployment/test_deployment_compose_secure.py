"""`compose/secure.yaml`: a running stack is switched to users and TLS, keeps what it has, and refuses plain text."""

import os
import time
from collections.abc import Generator

import pytest

from demo.api import Api
from deployment.compose_stack import ComposeStack
from deployment.demonstration import Demonstration, session
from deployment.docker import Docker

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]
SERVICES = ("planner", "executor", "scheduler", "notifier", "reprocessor", "api_gateway")
SEND = """
import asyncio, os, pathlib
from signalbox_chassis.messaging.connection import KafkaConnection, producer
async def main():
    read = lambda name: pathlib.Path("/run/secrets", name).read_text().strip()
    sender = producer(KafkaConnection("kafka:9092", "SASL_SSL", "signalbox_scheduler", read("scheduler_kafka_password"),
                                      "SCRAM-SHA-512", read("ca.pem")), enable_idempotence=True)
    await sender.start()
    try:
        await sender.send_and_wait("signalbox.requests.v1", b"{}")
    except Exception as error:
        print(type(error).__name__)
    finally:
        await sender.stop()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def stack(images: Docker, tmp_path_factory: pytest.TempPathFactory) -> Generator[ComposeStack]:
    made = ComposeStack(images, f"signalbox-secure-{os.getpid()}", tmp_path_factory.mktemp("compose-secure"))
    made.make_secrets()
    try:
        yield made
    except BaseException:
        print(made.compose("ps", "-a", check=False), made.compose("logs", "--tail", "40", check=False)[-20_000:])
        raise
    finally:
        made.down(volumes=True)


async def test_a_stack_is_switched_to_users_and_tls_and_keeps_its_work(stack: ComposeStack) -> None:
    began = time.monotonic()
    stack.up()
    async with session(stack.admin_token()) as opened:
        demonstration = Demonstration(Api(stack.url, opened))
        await demonstration.define(stack.demo_database())
        first = await demonstration.initial_load()
        print(f"\nfrom `up` on empty volumes to the end of the first pipeline: {time.monotonic() - began:.1f} s")
        passwords = {name: (stack.secrets / f"{name}_database_url").read_text() for name in SERVICES}
        stack.secure = True
        stack.make_secrets()
        for name, before in passwords.items():
            assert (stack.secrets / f"{name}_database_url").read_text().startswith(f"{before}?sslmode=verify-full")
        stack.up()
        assert await demonstration.api.ask("GET", f"/plans/{first['id']}") == first
        await demonstration.next_day()


def test_every_connection_of_a_service_is_encrypted_and_plain_text_is_refused(stack: ComposeStack) -> None:
    query = (
        "SELECT usename, bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
        " WHERE usename LIKE 'signalbox\\_%' GROUP BY 1 ORDER BY 1"
    )
    shown = stack.sql(query).splitlines()
    assert shown == [f"signalbox_{name}|t" for name in sorted(SERVICES)]
    refused = stack.compose(
        "exec", "-T", "postgres", "sh", "-c",
        'PGPASSWORD="$(cat $POSTGRES_PASSWORD_FILE)" psql "host=postgres user=signalbox sslmode=disable" 2>&1',
        check=False,
    )  # fmt: skip
    assert "no pg_hba.conf entry" in refused
    assert "no encryption" in refused
    redis = stack.compose("exec", "-T", "redis", "sh", "-c", "redis-cli -h redis ping 2>&1", check=False)
    assert "PONG" not in redis


def test_a_service_that_writes_a_topic_of_another_is_refused(stack: ComposeStack) -> None:
    shown = stack.compose("exec", "-T", "scheduler", "python", "-c", SEND)
    assert shown.strip() == "TopicAuthorizationFailedError"


def test_a_backup_of_a_secure_stack_is_restored_as_one(stack: ComposeStack) -> None:
    folder = stack.folder / "backup"
    before = stack.sql("SELECT count(*) FROM planner.plan")
    stack.script("backup.sh", str(folder))
    stack.script("restore.sh", str(folder), "--yes")
    assert stack.sql("SELECT count(*) FROM planner.plan") == before != "0"
    assert stack.sql("SHOW ssl") == "on"
