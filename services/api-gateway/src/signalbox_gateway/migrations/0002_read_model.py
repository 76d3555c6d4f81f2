"""The read model: what the owners said of plans, items, tasks, engines, parked messages and operations."""

from alembic import op

revision = "0002"
down_revision = "0001"

# `record` and `item` are the JSON of the fact, read whole and never searched: text spares parsing it twice.
# A task and the item it came from are one row: the id of a task is derived from plan and item, so either may come
# first. `position` of a row whose page has not come yet is past every other. `seq` is the order of arrival.
# `version` of a task is -1 until its first fact; an item that is skipped never gets another.
TABLES = """
CREATE TABLE plan (
    id         uuid PRIMARY KEY,
    version    bigint NOT NULL,
    state      text NOT NULL,
    name       text NOT NULL,
    project    text NOT NULL,
    target     text,
    actor      text NOT NULL,
    parent     uuid,
    labels     jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    trace_id   text,
    record     text NOT NULL,
    expected   jsonb,
    complete   boolean NOT NULL DEFAULT false,
    heard_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX plan_newest ON plan (created_at DESC, id DESC);
CREATE INDEX plan_by_state ON plan (state, created_at DESC, id DESC);
CREATE INDEX plan_by_target ON plan (target, created_at DESC, id DESC) WHERE target IS NOT NULL;
CREATE INDEX plan_by_parent ON plan (parent) WHERE parent IS NOT NULL;
CREATE INDEX plan_by_label ON plan USING gin (labels jsonb_path_ops);

CREATE TABLE plan_event (
    plan_id uuid NOT NULL,
    version bigint NOT NULL,
    state   text NOT NULL,
    at      timestamptz NOT NULL,
    actor   text,
    reason  text NOT NULL,
    PRIMARY KEY (plan_id, version)
);

CREATE TABLE plan_page (
    plan_id uuid NOT NULL,
    page    integer NOT NULL,
    round   integer NOT NULL,
    version bigint NOT NULL,
    pages   integer NOT NULL,
    PRIMARY KEY (plan_id, page)
);

CREATE TABLE task (
    id       uuid PRIMARY KEY,
    seq      bigint GENERATED ALWAYS AS IDENTITY,
    plan_id  uuid NOT NULL,
    item_key text NOT NULL,
    position integer NOT NULL DEFAULT 2147483647,
    decision text,
    round    integer,
    item     text,
    version  bigint NOT NULL DEFAULT -1,
    state    text,
    engine   text,
    why      text,
    record   text
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX task_newest ON task (seq);
CREATE INDEX task_by_plan ON task (plan_id, position, id);
CREATE INDEX task_by_plan_state ON task (plan_id, state, position, id);
CREATE INDEX task_not_well ON task (state, seq) WHERE state <> 'SUCCEEDED';
CREATE INDEX task_waiting ON task (plan_id, why) WHERE why IS NOT NULL;

CREATE TABLE task_event (
    task_id uuid NOT NULL,
    version bigint NOT NULL,
    state   text NOT NULL,
    attempt integer NOT NULL,
    at      timestamptz NOT NULL,
    reason  text NOT NULL,
    PRIMARY KEY (task_id, version)
);

CREATE TABLE task_attempt (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    version bigint NOT NULL,
    ended   boolean NOT NULL,
    record  jsonb NOT NULL,
    PRIMARY KEY (task_id, attempt)
);

CREATE TABLE engine_state (
    id      text PRIMARY KEY,
    version bigint NOT NULL,
    record  text NOT NULL
);

CREATE TABLE operation_answer (
    operation_id uuid PRIMARY KEY,
    state        text NOT NULL,
    answer       text NOT NULL,
    details      text,
    answered_at  timestamptz NOT NULL
);

CREATE TABLE parked (
    id           uuid PRIMARY KEY,
    service      text NOT NULL,
    topic        text NOT NULL,
    state        text NOT NULL DEFAULT 'PARKED',
    operation_id uuid,
    parked_at    timestamptz NOT NULL,
    record       text NOT NULL
);
CREATE INDEX parked_newest ON parked (parked_at DESC, id DESC);
CREATE INDEX parked_asked ON parked (operation_id) WHERE operation_id IS NOT NULL;
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
