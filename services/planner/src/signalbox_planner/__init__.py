"""The planner: requests become plans, plans become tasks."""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="planner",
    package="signalbox_planner",
    app="signalbox_planner.app:planner",
    settings="signalbox_planner.settings:PlannerSettings",
    migrations=MIGRATIONS,
    consumers={
        "control": ("requests.v1", "operations.v1", "ticks.v1"),
        "events": ("triggers.v1",),
        "facts": ("tasks.v1",),
    },
    definitions=True,
    writes=("plans.v1", "task-commands.v1"),
    order=30,
)
