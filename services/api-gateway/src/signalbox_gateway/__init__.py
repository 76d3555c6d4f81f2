"""The api-gateway: what people and programs call."""

from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The history of this service's schema."""
