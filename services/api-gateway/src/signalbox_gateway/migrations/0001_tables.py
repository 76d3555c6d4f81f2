"""All tables of the gateway: those of the chassis, identity, definitions, operations, and the read model."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import RESTORE_MARK_V1, TABLES_V1

revision = "0001"
down_revision = None

# The sequence `definition_revision` advances under a lock held until the commit: revisions are published in order.
WRITES = """
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
    deleted    boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE definition_version (
    kind       text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    revision   bigint NOT NULL,
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    PRIMARY KEY (kind, id, version)
);

CREATE TABLE definition_reference (
    kind    text NOT NULL,
    id      text NOT NULL,
    to_kind text NOT NULL,
    to_id   text NOT NULL,
    PRIMARY KEY (kind, id, to_kind, to_id)
);
CREATE INDEX definition_reference_users ON definition_reference (to_kind, to_id);

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
    id           uuid PRIMARY KEY,
    operation    text NOT NULL,
    target       text NOT NULL,
    actor        text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    trace_id     text,
    requested_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operation_by_target ON operation (target, requested_at DESC);
CREATE INDEX operation_requested ON operation (requested_at);
"""

# `record` and `item` hold a fact's JSON as text: they are read as one value and never searched.
# A task and its item share one row, because the task id is derived from plan and item: either may come first.
# `position` is past every other until the item's page comes. `seq` is the order of arrival.
# `version` of a task is -1 until its first fact; a skipped item never gets another.
# `queries` counts the queries about a plan since its owners last published it. `rebuild` is the last query for all.
READ_MODEL = """
CREATE TABLE plan (
    id          uuid PRIMARY KEY,
    version     bigint NOT NULL,
    state       text NOT NULL,
    name        text NOT NULL,
    project     text NOT NULL,
    target      text,
    actor       text NOT NULL,
    parent      uuid,
    labels      jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    trace_id    text,
    record      text NOT NULL,
    expected    jsonb,
    complete    boolean NOT NULL DEFAULT false,
    reported_at timestamptz NOT NULL DEFAULT now(),
    queried_at  timestamptz,
    queries     integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX plan_newest ON plan (created_at DESC, id DESC);
CREATE INDEX plan_by_state ON plan (state, created_at DESC, id DESC);
CREATE INDEX plan_by_target ON plan (target, created_at DESC, id DESC) WHERE target IS NOT NULL;
CREATE INDEX plan_by_parent ON plan (parent) WHERE parent IS NOT NULL;
CREATE INDEX plan_unfinished ON plan (reported_at) WHERE NOT complete;
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
CREATE INDEX parked_requested ON parked (operation_id) WHERE operation_id IS NOT NULL;


CREATE TABLE tick (
    id           uuid PRIMARY KEY,
    schedule_id  text NOT NULL,
    due_at       timestamptz NOT NULL,
    event_date   date NOT NULL,
    outcome      text NOT NULL,
    cause        text NOT NULL,
    detail       text NOT NULL,
    plan_id      uuid,
    published_at timestamptz NOT NULL
);
CREATE INDEX tick_by_schedule ON tick (schedule_id, due_at DESC);

CREATE TABLE start_state (
    kind    text NOT NULL,
    id      text NOT NULL,
    version bigint NOT NULL,
    record  text NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 70);

CREATE TABLE event_match (
    trigger_id text NOT NULL,
    version    bigint NOT NULL,
    position   integer NOT NULL,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    source     text NOT NULL,
    event_id   text NOT NULL,
    event_type text NOT NULL,
    outcome    text NOT NULL,
    why        text NOT NULL,
    plan_id    uuid,
    at         timestamptz NOT NULL,
    PRIMARY KEY (trigger_id, version, position)
);
CREATE UNIQUE INDEX event_match_newest ON event_match (seq);
CREATE INDEX event_match_by_event ON event_match (event_id, source, seq);
CREATE INDEX event_match_by_hour ON event_match (at);

CREATE TABLE rebuild (
    single       boolean PRIMARY KEY DEFAULT true CHECK (single),
    operation_id uuid NOT NULL,
    queried_at   timestamptz NOT NULL DEFAULT now(),
    queries      integer NOT NULL DEFAULT 1,
    done_at      timestamptz
);
"""

# A plan of 100,000 items fills PostgreSQL's sample with one plan: it then expects three plans and reads the whole table
# for each one that ends. -0.01 makes it expect one plan for a hundred rows.
STATISTICS = """
ALTER TABLE task ALTER COLUMN plan_id SET (n_distinct = -0.01);
ALTER TABLE plan_page ALTER COLUMN plan_id SET (n_distinct = -0.01);
"""


def upgrade() -> None:
    run_script(TABLES_V1 + RESTORE_MARK_V1 + WRITES + READ_MODEL + STATISTICS)
