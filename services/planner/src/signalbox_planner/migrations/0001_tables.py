"""The chassis tables and the planner's own: plans, the pages of their requests, their items."""

from alembic import op

from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# `work` and `frame` are texts: nothing ever looks inside them here, and a text is stored as it came.
# An item is updated a few times: room in each page keeps those updates off the indexes.
TABLES = """
CREATE TABLE plan (
    id                   uuid PRIMARY KEY,
    frame                text NOT NULL,
    definitions_revision bigint NOT NULL,
    traceparent          text,
    state                text NOT NULL CHECK (state IN ('ACCEPTED', 'RESOLVING', 'PREVIEWED', 'AWAITING_APPROVAL',
                         'RUNNING', 'PAUSED', 'CANCELLING', 'SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED',
                         'CANCELLED', 'REFUSED')),
    version              bigint NOT NULL,
    counts               text NOT NULL,
    reason               text NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL,
    started_at           timestamptz,
    ended_at             timestamptz,
    pages                integer NOT NULL,
    pages_seen           integer NOT NULL DEFAULT 0,
    pages_said           integer NOT NULL DEFAULT 0,
    end_position         integer NOT NULL DEFAULT 0,
    next_position        integer NOT NULL DEFAULT 0,
    unsent_end           integer NOT NULL DEFAULT 0,
    tasks                integer NOT NULL DEFAULT 0,
    live_tasks           integer NOT NULL DEFAULT 0,
    task_versions        bigint NOT NULL DEFAULT 0,
    rules                text NOT NULL,
    rules_version        bigint NOT NULL,
    rules_confirmed      bigint NOT NULL DEFAULT 0,
    rules_said_at        timestamptz,
    held                 boolean NOT NULL DEFAULT false,
    held_by              text,
    held_reason          text NOT NULL DEFAULT '',
    held_at              timestamptz,
    held_version         bigint NOT NULL DEFAULT 1,
    stop_actor           text,
    stop_reason          text NOT NULL DEFAULT '',
    stop_kill            boolean NOT NULL DEFAULT false,
    awaited              text NOT NULL DEFAULT '[]',
    parent_position      integer,
    said_version         bigint NOT NULL DEFAULT 0,
    ask_at               timestamptz NOT NULL DEFAULT now() + interval '60 seconds',
    asked_at             timestamptz NOT NULL DEFAULT now(),
    asks                 smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX plan_live ON plan (ask_at)
    WHERE state NOT IN ('SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED', 'REFUSED');

CREATE INDEX plan_rules_unconfirmed ON plan (rules_said_at) WHERE rules_said_at IS NOT NULL;

CREATE TABLE page (
    plan_id uuid NOT NULL,
    page    integer NOT NULL,
    PRIMARY KEY (plan_id, page)
);

CREATE TABLE item (
    plan_id      uuid NOT NULL,
    position     integer NOT NULL,
    key          text NOT NULL,
    engine       text NOT NULL,
    work         text NOT NULL,
    state        text,
    task_version bigint NOT NULL DEFAULT 0,
    stopping     text,
    PRIMARY KEY (plan_id, position),
    CONSTRAINT item_key UNIQUE (plan_id, key)
) WITH (fillfactor = 85);

CREATE TABLE tell (
    plan_id      uuid PRIMARY KEY,
    operation_id uuid NOT NULL,
    items        boolean NOT NULL,
    page         integer NOT NULL DEFAULT 1
);
"""


def upgrade() -> None:
    for statement in (TABLES_V1 + TABLES).split(";\n"):
        if statement.strip():
            op.execute(statement)
