"""Versions that jump are refused."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import CHECKED_VERSION_V1

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_script(CHECKED_VERSION_V1)
