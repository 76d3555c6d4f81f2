"""Callers without a token: only where the operator says so, only on this machine, and not from other sites' pages."""

from typing import Any

import pytest
from pydantic import ValidationError

from signalbox_gateway.http.anonymous import is_local_call, is_loopback
from signalbox_gateway.settings import GatewaySettings

NEEDED: dict[str, Any] = {"kafka_bootstrap": "127.0.0.1:1", "database_url": "postgresql://nobody@127.0.0.1:1/none"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_a_loopback_listener_may_let_them_in(host: str) -> None:
    assert is_loopback(host)
    assert GatewaySettings(**NEEDED, api_host=host, anonymous_role="operator").anonymous_role == "operator"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "signalbox.internal", ""])
def test_any_other_listener_keeps_the_service_from_starting(host: str) -> None:
    with pytest.raises(ValidationError, match="is no loopback address"):
        GatewaySettings(**NEEDED, api_host=host, anonymous_role="viewer")


def test_a_program_on_this_machine_is_let_in_and_a_page_of_another_site_is_not() -> None:
    assert is_local_call({"host": "localhost:8085"})
    assert is_local_call({"host": "127.0.0.1:8085", "origin": "http://127.0.0.1:8085", "sec-fetch-site": "same-origin"})
    assert not is_local_call({"host": "localhost:8085", "origin": "https://evil.example"})
    assert not is_local_call({"host": "rebound.example:8085"})
    assert not is_local_call({"host": "localhost:8085", "sec-fetch-site": "cross-site"})
    assert not is_local_call({})
