"""Real servers, started once a run and shared; every test gets schemas and topics of its own."""

import logging
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is no failure
settings.register_profile("signalbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("signalbox")

pytest_plugins = ["support.servers", "support.service_fixture", "support.ceph", "support.failures"]


@pytest.fixture(autouse=True, scope="session")
def _no_service_ends_the_tests() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """A service in the tests' own process would end them all, for example when the machine stood still for a minute."""
    with pytest.MonkeyPatch.context() as patch:
        critical = logging.getLogger("tests").critical
        patch.setattr(
            "signalbox_chassis.runtime.service.end_process", lambda: critical("a service would end its process")
        )
        yield
