"""The chassis tables and the gateway's own: principals and tokens, definitions, what was asked, answers by key."""

from alembic import op

from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# `definition_revision` is drawn under a lock held until the commit, so revisions leave in the order they were made.
TABLES = """
CREATE TABLE principal (
    name       text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE token (
    id          text PRIMARY KEY,
    principal   text NOT NULL REFERENCES principal (name),
    secret_hash bytea NOT NULL,
    permissions text[] NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

CREATE SEQUENCE definition_revision;
CREATE TABLE definition (
    kind       text NOT NULL,
    id         text NOT NULL,
    revision   bigint NOT NULL,
    version    integer NOT NULL,
    body       text NOT NULL,
    project    text NOT NULL,
    name       text NOT NULL,
    labels     jsonb NOT NULL,
    engine     text,
    deleted    boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX definition_by_engine ON definition (engine) WHERE engine IS NOT NULL AND NOT deleted;

CREATE TABLE definition_version (
    kind       text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    revision   bigint NOT NULL,
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (kind, id, version)
);

CREATE TABLE idempotency (
    principal    text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    status       smallint NOT NULL,
    answer       text,
    headers      text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_oldest ON idempotency (created_at);

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
