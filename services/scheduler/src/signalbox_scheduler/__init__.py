"""The scheduler: a tick for every instant at which a schedule is due, exactly once with any number of schedulers."""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="scheduler",
    package="signalbox_scheduler",
    app="signalbox_scheduler.app:scheduler",
    settings="signalbox_scheduler.settings:SchedulerSettings",
    migrations=MIGRATIONS,
    consumers={"control": ("operations.v1",)},
    definitions=True,
    writes=("ticks.v1",),
    order=40,
)
