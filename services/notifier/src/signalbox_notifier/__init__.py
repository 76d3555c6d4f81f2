"""The notifier: tells people and systems what happened, with one message an incident."""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import PortSpec, ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="notifier",
    package="signalbox_notifier",
    app="signalbox_notifier.app:notifier",
    settings="signalbox_notifier.settings:NotifierSettings",
    migrations=MIGRATIONS,
    consumers={"control": ("operations.v1",), "facts": ("plans.v1", "tasks.v1", "states.v1", "dead-letters.v1")},
    definitions=True,
    writes=("deliveries.v1",),
    ports={"http": PortSpec("SIGNALBOX_HTTP_PORT", "/readyz"), "live": PortSpec("SIGNALBOX_LIVE_PORT", "/livez")},
    reads_secrets=("channel",),
    order=50,
)
