"""What a failed request to an engine means: whether it may have arrived decides if the work is sent again."""

from unittest.mock import Mock

import aiohttp
import pytest

from signalbox_chassis.security.egress import AddressRefused, EgressGuard
from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.oozie.rest import OozieRest
from signalbox_executor.engines.port import EngineUnavailable

UNREACHED = [
    AddressRefused("http://10.0.0.1", "an internal address"),
    aiohttp.ClientConnectorError(Mock(), OSError(111, "Connection refused")),
    aiohttp.ConnectionTimeoutError("Connection timeout to host http://10.0.0.1"),
]
SENT = [
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientPayloadError("cut off"),
    TimeoutError(),
    ConnectionResetError(),
    ValueError("not JSON"),
]


@pytest.mark.parametrize("error", UNREACHED, ids=lambda error: type(error).__name__)
def test_without_a_connection_nothing_was_sent(error: Exception) -> None:
    with pytest.raises(EngineUnavailable) as raised, request_errors("oozie-prod"):
        raise error
    assert not raised.value.may_have_arrived


@pytest.mark.parametrize("error", SENT, ids=lambda error: type(error).__name__)
def test_what_was_sent_may_have_arrived(error: Exception) -> None:
    with pytest.raises(EngineUnavailable) as raised, request_errors("oozie-prod"):
        raise error
    assert raised.value.may_have_arrived


async def test_oozie_at_an_address_that_is_not_allowed_is_unavailable_and_was_not_called() -> None:
    guard = EgressGuard()
    rest = OozieRest("oozie-prod", "http://127.0.0.1:11000/oozie", session=guard.session, user="ann")
    try:
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:11000.* is not called") as raised:
            await rest.text("v2/jobs")
        assert not raised.value.may_have_arrived
    finally:
        await rest.close()
