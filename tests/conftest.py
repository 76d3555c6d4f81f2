"""Real servers, started once a run and shared; every test gets schemas and topics of its own."""

import gc
import logging
import warnings
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is no failure
settings.register_profile("signalbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("signalbox")

pytest_plugins = ["support.servers", "support.ceph", "support.failures"]
pytest.register_assert_rewrite("support.service_fixture")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Free what tests left behind, before pytest does it and fails a run in which every test passed.

    aiokafka keeps no account of a connection that is being opened while its client is closed, and on a busy machine one
    is left now and then. What is freed while tests run still fails the test.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
        gc.collect()


@pytest.fixture(autouse=True, scope="session")
def _no_service_ends_the_tests() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """A service in the tests' own process would end them all, for example when the machine stood still for a minute."""
    with pytest.MonkeyPatch.context() as patch:
        critical = logging.getLogger("tests").critical
        patch.setattr(
            "signalbox_chassis.runtime.service.end_process", lambda: critical("a service would end its process")
        )
        yield
