"""The mark of the database, the moves of plans, and tells in the order people look."""

from alembic import op

from signalbox_chassis.persistence.tables import LIFE_V1

revision = "0002"
down_revision = "0001"

# `plan_move` is kept to be told again: the facts that said the moves first are gone after a week.
TABLES = """
CREATE TABLE plan_move (
    plan_id uuid NOT NULL,
    version bigint NOT NULL,
    state   text NOT NULL,
    at      timestamptz NOT NULL,
    actor   text,
    reason  text NOT NULL,
    PRIMARY KEY (plan_id, version)
);

ALTER TABLE tell ADD seq bigint GENERATED ALWAYS AS IDENTITY;
CREATE INDEX tell_next ON tell (seq);
"""


def upgrade() -> None:
    for statement in (LIFE_V1 + TABLES).split(";\n"):
        if statement.strip():
            op.execute(statement)
