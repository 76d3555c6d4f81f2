"""Freezes, and the project of a plan: a freeze may hold one project's tasks."""

from alembic import op

revision = "0003"
down_revision = "0002"

# `freeze_window` keeps past windows too: a time limit of a queued task does not count the time it was frozen.
TABLES = """
ALTER TABLE plan_rules ADD COLUMN project text NOT NULL DEFAULT 'default';

CREATE TABLE freeze_definition (
    id         text PRIMARY KEY,
    revision   bigint NOT NULL,
    definition text NOT NULL,
    lifted_at  timestamptz
);

CREATE TABLE freeze_window (
    freeze_id text NOT NULL,
    from_at   timestamptz NOT NULL,
    until_at  timestamptz NOT NULL DEFAULT 'infinity',
    engines   text[] NOT NULL,
    projects  text[] NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (freeze_id, from_at)
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
