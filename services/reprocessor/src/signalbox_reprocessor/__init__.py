"""The reprocessor: sends files of events to Kafka again, with a ledger of every file and line.

`worker` is the program that engines run. It stands alone: it imports nothing of Signalbox's services.
"""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="reprocessor",
    package="signalbox_reprocessor",
    app="signalbox_reprocessor.app:reprocessor",
    settings="signalbox_reprocessor.settings:ReprocessorSettings",
    migrations=MIGRATIONS,
    consumers={"control": ("operations.v1",), "facts": ("plans.v1", "tasks.v1")},
    writes=("requests.v1",),
    order=35,
    worker_role=True,
    own_secrets="reprocess-",
)
