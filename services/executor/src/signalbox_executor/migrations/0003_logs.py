"""How far each attempt's log is in the blob store."""

from alembic import op

revision = "0003"
down_revision = "0002"

# `bytes` counts what the run wrote and is stored or was passed over; a worker that looks at a log has it until
# `lease_until`.
TABLES = """
CREATE TABLE log_copy (
    task_id     uuid NOT NULL,
    attempt     integer NOT NULL,
    bytes       bigint NOT NULL DEFAULT 0,
    truncated   boolean NOT NULL DEFAULT false,
    idle        integer NOT NULL DEFAULT 0,
    looked_at   timestamptz,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (task_id, attempt)
) WITH (fillfactor = 50);

ALTER TABLE attempt ADD log_done boolean NOT NULL DEFAULT false;
CREATE INDEX attempt_log ON attempt (ended_at) WHERE NOT log_done;
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
