"""All tables of the gateway: those of the chassis, and the files of `tables/`, each with one subject."""

from pathlib import Path

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import CHECKED_VERSION_V1, RESTORE_MARK_V1, TABLES_V1

revision = "0001"
down_revision = None

SUBJECTS = ("accounts", "calls", "definitions", "audit", "read_model", "starts", "notifications")


def upgrade() -> None:
    run_script(TABLES_V1 + RESTORE_MARK_V1 + CHECKED_VERSION_V1)
    for subject in SUBJECTS:
        run_script((Path(__file__).parent / "tables" / f"{subject}.sql").read_text())
