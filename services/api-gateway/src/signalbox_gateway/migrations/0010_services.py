"""Versions that jump are refused, and what services publish of themselves is kept."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import CHECKED_VERSION_V1

revision = "0010"
down_revision = "0009"

SERVICES = """
CREATE TABLE service_state (
    service  text NOT NULL,
    instance text NOT NULL,
    version  bigint NOT NULL,
    record   text NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, instance)
);
"""


def upgrade() -> None:
    run_script(CHECKED_VERSION_V1 + SERVICES)
