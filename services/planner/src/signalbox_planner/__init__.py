"""The planner: requests become plans, plans become tasks."""

from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
