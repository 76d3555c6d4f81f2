"""The live feed: what happened to each plan, in its order, for a while. And why a plan's first task failed."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
ALTER TABLE plan ADD COLUMN feed_sequence bigint NOT NULL DEFAULT 0;
ALTER TABLE plan ADD COLUMN fed_at timestamptz;
ALTER TABLE plan ADD COLUMN error text NOT NULL DEFAULT '';
CREATE INDEX plan_fed ON plan (fed_at) WHERE fed_at IS NOT NULL;

CREATE TABLE live_event (
    plan_id  uuid NOT NULL,
    sequence bigint NOT NULL,
    body     text NOT NULL,
    fed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plan_id, sequence)
);
CREATE INDEX live_event_by_age ON live_event (fed_at)
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
