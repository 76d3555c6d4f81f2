"""The chassis tables and the gateway's own."""

from alembic import op

from signalbox_chassis.tables import TABLES_V1

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE operation (
    id        uuid PRIMARY KEY,
    operation text NOT NULL,
    target    text NOT NULL,
    actor     text NOT NULL,
    reason    text NOT NULL DEFAULT '',
    trace_id  text,
    asked_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operation_by_target ON operation (target, asked_at DESC);
"""


def upgrade() -> None:
    for statement in (TABLES_V1 + TABLES).split(";\n"):
        if statement.strip():
            op.execute(statement)
