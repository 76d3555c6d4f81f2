"""This worker among the others: its id, and the engines its host may reach."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from signalbox_executor.store.engines import Registered


@dataclass
class Membership:
    """Shared by what acts under this worker's lease. A worker that lost its lease goes on under another id."""

    id: UUID = field(default_factory=uuid4)
    registered: dict[str, Registered] = field(default_factory=dict[str, Registered])
    """By id."""
