"""The executor: claims tasks, submits them to engines exactly once, watches and finishes them."""

from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
