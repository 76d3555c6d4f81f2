"""The scheduler: a tick for every instant at which a schedule is due, exactly once with any number of schedulers."""

from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
