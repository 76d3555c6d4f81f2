"""The executor: claims tasks, submits them to engines exactly once, watches and finishes them."""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="executor",
    package="signalbox_executor",
    app="signalbox_executor.app:executor",
    settings="signalbox_executor.settings:ExecutorSettings",
    migrations=MIGRATIONS,
    consumers={"control": ("task-commands.v1", "operations.v1")},
    definitions=True,
    writes=("tasks.v1",),
    reads_secrets=("work", "engine"),
    order=20,
    replicas=3,
    crash_points=(
        "executor.claiming", "executor.claimed", "executor.after_intent", "executor.before_record",
        "executor.recorded", "executor.watching", "executor.seen", "executor.finished", "executor.stop_intended",
        "executor.taken_over",
    ),
)  # fmt: skip
