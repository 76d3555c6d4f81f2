"""Plans of many pages on a machine that is too slow for them."""

import time
from typing import Any

import pytest

from signalbox_chassis.persistence.connection import ROLE_SETTINGS
from signalbox_gateway.plan_requests import sending
from support.gateway import SCRIPTED, Gateway, item, running_gateway

PAGES = 12


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL ends a session that does nothing in its transaction for 1 s, in place of 10."""
    monkeypatch.setitem(ROLE_SETTINGS, "idle_in_transaction_session_timeout", "1s")


def slow_pages(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Each page takes so long to make, without a pause for others."""
    made = sending.plan_request

    def slowly(*args: Any, **more: Any) -> Any:
        time.sleep(seconds)
        return made(*args, **more)

    monkeypatch.setattr(sending, "plan_request", slowly)


async def start(api: Gateway, key: str) -> Any:
    body = {"name": "large", "items": [item(number) for number in range(200 * PAGES)]}
    return await api.request("POST", "/plans", body, headers={"Idempotency-Key": key})


@pytest.mark.usefixtures("_impatient")
async def test_a_plan_whose_pages_take_longer_than_a_session_may_be_idle_starts(
    postgres_url: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of 60 MiB on a busy machine: PostgreSQL ended the session, and the caller was refused each time."""
    async with running_gateway(postgres_url, kafka_bootstrap) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        with monkeypatch.context() as patch:
            slow_pages(patch, 0.15)
            assert (await start(api, "large")).status == 202
        sent = await api.value("SELECT count(*) FROM outbox WHERE topic = 'requests.v1'")
        assert sent == PAGES


@pytest.mark.usefixtures("_impatient")
async def test_a_plan_that_the_database_gave_up_starts_once_with_the_same_key(
    postgres_url: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_gateway(postgres_url, kafka_bootstrap) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        with monkeypatch.context() as patch:
            slow_pages(patch, 1.5)
            refused = await start(api, "again")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert refused.body["type"] == "/problems/unavailable"
        assert await api.value("SELECT count(*) FROM plan") == 0
        assert await api.value("SELECT count(*) FROM outbox WHERE topic = 'requests.v1'") == 0
        first, again = await start(api, "again"), await start(api, "again")
        assert (first.status, again.headers["Idempotency-Replayed"]) == (202, "true")
        assert first.body["id"] == again.body["id"]
        assert await api.value("SELECT count(*) FROM outbox WHERE topic = 'requests.v1'") == PAGES
