"""The mark of the database; asking the owners to say everything again."""

from alembic import op

from signalbox_chassis.persistence.tables import LIFE_V1

revision = "0004"
down_revision = "0003"

# `asks` counts how often the owners were asked after a plan since they last spoke of it. `rebuild` is the last time
# they were asked for everything: `plans` is how many there are, once the planner has said so.
TABLES = """
ALTER TABLE plan ADD asked_at timestamptz, ADD asks integer NOT NULL DEFAULT 0;
CREATE INDEX plan_unfinished ON plan (heard_at) WHERE NOT complete;
CREATE INDEX operation_asked ON operation (asked_at);

CREATE TABLE rebuild (
    single       boolean PRIMARY KEY DEFAULT true CHECK (single),
    operation_id uuid NOT NULL,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    asks         integer NOT NULL DEFAULT 1,
    done_at      timestamptz
);
"""


def upgrade() -> None:
    for statement in (LIFE_V1 + TABLES).split(";\n"):
        if statement.strip():
            op.execute(statement)
