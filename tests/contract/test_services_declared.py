"""What each installed service declares is what its wiring does."""

import pytest
from pydantic import SecretStr

from example_service import SERVICE as EXAMPLE
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.services import ServiceSpec, installed_services


def wired(spec: ServiceSpec) -> Service:
    """The service, built and not started. Nothing connects before the start."""
    settings = spec.load(spec.settings)(
        kafka_bootstrap="127.0.0.1:9", database_url=SecretStr("postgresql://role:password@127.0.0.1:9/none")
    )
    return spec.load(spec.app)(settings)


@pytest.mark.parametrize("spec", [*installed_services(), EXAMPLE], ids=lambda spec: spec.name)
async def test_a_service_consumes_and_sends_what_it_declares(spec: ServiceSpec) -> None:
    """Without it the access lists of the broker, which are made from the declaration, would lock a service out."""
    service = wired(spec)
    consumed = {one.name: tuple(place.name for place in one.topics) for one in service.subscriptions}
    assert service.name == spec.name
    assert consumed == dict(spec.consumers)
    assert (service.definitions is not None) == spec.definitions
    assert {place.name for place in service.sends} <= set(spec.sends)
