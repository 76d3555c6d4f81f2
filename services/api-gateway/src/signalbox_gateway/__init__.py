"""The api-gateway: what people and programs call."""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import PortSpec, ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="api-gateway",
    package="signalbox_gateway",
    app="signalbox_gateway.app:gateway",
    settings="signalbox_gateway.settings:GatewaySettings",
    migrations=MIGRATIONS,
    consumers={
        "facts": ("plans.v1", "tasks.v1", "states.v1", "ticks.v1", "deliveries.v1", "dead-letters.v1"),
        # nothing but the operations on messages that this service parked
        "control": ("operations.v1",),
    },
    inspects=("definitions.v1", "triggers.v1"),
    watches_groups=True,
    writes=("requests.v1", "operations.v1", "definitions.v1", "triggers.v1"),
    ports={
        "http": PortSpec("SIGNALBOX_HTTP_PORT", "/readyz"),
        "api": PortSpec("SIGNALBOX_API_PORT", "/healthz"),
    },
    writes_secrets=True,
    order=90,
)
