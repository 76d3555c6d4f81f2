"""Look-ups on engines before a plan is expanded: the request, how far it is, and the pages found."""

from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = """
CREATE TABLE selection (
    id                   uuid PRIMARY KEY,
    plan_id              uuid NOT NULL,
    round                integer NOT NULL,
    engine_id            text NOT NULL,
    definitions_revision bigint NOT NULL,
    selection            jsonb NOT NULL,
    traceparent          text,
    state                text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'CLAIMED', 'RESOLVED', 'REFUSED')),
    owner                uuid,
    fence                bigint NOT NULL DEFAULT 0,
    lease_until          timestamptz,
    not_before           timestamptz NOT NULL DEFAULT now(),
    failures             integer NOT NULL DEFAULT 0,
    next_page            text,
    pages                integer NOT NULL DEFAULT 0,
    items                integer NOT NULL DEFAULT 0,
    error                text,
    created_at           timestamptz NOT NULL DEFAULT now(),
    ended_at             timestamptz
);
CREATE INDEX selection_waiting ON selection (created_at) WHERE state IN ('QUEUED', 'CLAIMED');
CREATE INDEX selection_ended ON selection (ended_at) WHERE state IN ('RESOLVED', 'REFUSED');
CREATE TABLE selection_page (
    selection_id uuid NOT NULL REFERENCES selection (id) ON DELETE CASCADE,
    page         integer NOT NULL,
    items        jsonb NOT NULL,
    PRIMARY KEY (selection_id, page)
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE selection_page")
    op.execute("DROP TABLE selection")
