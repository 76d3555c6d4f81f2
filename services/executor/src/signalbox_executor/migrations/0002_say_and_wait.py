"""Moves not yet said, definitions seen, who reaches which engine, engine facts, operations under way, followed logs."""

from alembic import op

revision = "0002"
down_revision = "0001"

# `moves` are the moves that the next fact says, or the last one said (`said`): one version always has the same ones,
# so that a fact that is said twice under one id is the same fact.
TABLES = """
ALTER TABLE task ADD moves jsonb NOT NULL DEFAULT '[]', ADD said boolean NOT NULL DEFAULT true;
CREATE INDEX task_unsaid ON task (state_at) WHERE NOT said;

ALTER TABLE worker ADD reaches text[] NOT NULL DEFAULT '{}';

CREATE TABLE seen (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    revision bigint NOT NULL
);
INSERT INTO seen (revision) VALUES (0);

CREATE TABLE engine_state (
    engine_id text PRIMARY KEY,
    version   bigint NOT NULL,
    said      jsonb NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE operation (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('engine.test', 'plan.republish')),
    event_id    text NOT NULL,
    target      text NOT NULL,
    traceparent text,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    engine_id   text,
    revision    bigint,
    plan_ids    uuid[],
    after       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    told        bigint NOT NULL DEFAULT 0
);

CREATE TABLE log_follow (
    task_id  uuid NOT NULL,
    attempt  integer NOT NULL,
    until_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, attempt)
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
