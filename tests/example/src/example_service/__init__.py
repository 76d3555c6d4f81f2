"""A service as small as one can be, built the way every service is. The tests of the chassis run it.

In: `counter.add` (control), `counter.state` (facts), definitions. Changes: counter, entry, mirror, definition.
Out: `counter.state`, one for every `counter.add`.
"""

from pathlib import Path
from typing import Final

from signalbox_contracts.services import ServiceSpec

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
SERVICE: Final = ServiceSpec(
    name="example",
    package="example_service",
    app="example_service.app:example_service",
    settings="signalbox_chassis.settings:ServiceSettings",
    migrations=MIGRATIONS,
    consumers={"control": ("counter-commands.v1", "operations.v1"), "facts": ("counters.v1",)},
    definitions=True,
    writes=("counters.v1",),
    own_topics="example_service.messages:TOPICS",
)
