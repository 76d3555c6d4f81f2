"""Events that wait: in a batch, for the end of a freeze, for their turn; and how many came from each source."""

from alembic import op

revision = "0004"
down_revision = "0003"

# A held or batched event was taken by its trigger already: (source, id) is in `trigger_event`.
TABLES = """
CREATE TABLE batched_event (
    trigger_id  text NOT NULL,
    key         text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    event       text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger_id, key, seq)
);

CREATE TABLE held_event (
    trigger_id  text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    event       text NOT NULL,
    freeze_id   text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger_id, seq)
);

CREATE TABLE delayed_start (
    plan_id    uuid PRIMARY KEY,
    trigger_id text NOT NULL,
    due_at     timestamptz NOT NULL,
    request    text NOT NULL
);
CREATE INDEX delayed_start_due ON delayed_start (due_at);
CREATE INDEX delayed_start_of ON delayed_start (trigger_id);

CREATE TABLE trigger_pace (
    trigger_id text PRIMARY KEY,
    next_at    timestamptz NOT NULL
);

CREATE TABLE source_count (
    source        text NOT NULL,
    hour_at       timestamptz NOT NULL,
    received      bigint NOT NULL,
    unclaimed     bigint NOT NULL,
    last_event_at timestamptz NOT NULL,
    version       bigint NOT NULL,
    PRIMARY KEY (source, hour_at)
);
CREATE INDEX source_count_by_hour ON source_count (hour_at);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
