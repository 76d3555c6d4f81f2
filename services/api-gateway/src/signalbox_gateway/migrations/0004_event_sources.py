"""Sources of events: signing secrets, signed requests that were seen, counts by hour."""

from alembic import op

revision = "0004"
down_revision = "0003"

# `secrets` are encrypted with a key of SIGNALBOX_SECRET_KEY and bound to the source's name.
TABLES = """
CREATE TABLE event_source (
    name              text PRIMARY KEY,
    description       text NOT NULL DEFAULT '',
    key_id            text NOT NULL,
    secrets           bytea[] NOT NULL,
    tolerance_seconds integer NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    updated_by        text NOT NULL
);

CREATE TABLE signed_request (
    source     text NOT NULL,
    id         text NOT NULL,
    sent_at    bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (source, id, sent_at)
);
CREATE INDEX signed_request_expired ON signed_request (expires_at);

CREATE TABLE source_hour (
    source        text NOT NULL,
    hour_at       timestamptz NOT NULL,
    version       bigint NOT NULL,
    received      bigint NOT NULL,
    unclaimed     bigint NOT NULL,
    last_event_at timestamptz,
    lag_seconds   double precision NOT NULL,
    PRIMARY KEY (source, hour_at)
);
CREATE INDEX source_hour_newest ON source_hour (hour_at DESC, source);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
