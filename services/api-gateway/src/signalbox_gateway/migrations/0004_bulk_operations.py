"""Tables of bulk operations: what was requested for many plans or tasks at once, and of which."""

from signalbox_chassis.persistence.sql_script import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_script("""
CREATE TABLE bulk_operation (
    id           uuid PRIMARY KEY,
    action       text NOT NULL,
    filter       text NOT NULL,
    actor        text NOT NULL,
    reason       text NOT NULL,
    total        int NOT NULL,
    trace_id     text,
    requested_at timestamptz NOT NULL
);
CREATE INDEX bulk_operation_newest ON bulk_operation (requested_at DESC, id DESC);
CREATE TABLE bulk_item (
    bulk_id      uuid NOT NULL,
    position     int NOT NULL,
    target       text NOT NULL,
    name         text NOT NULL,
    operation_id uuid,
    plan_id      uuid,
    refusal      text NOT NULL,
    PRIMARY KEY (bulk_id, position)
);
""")
