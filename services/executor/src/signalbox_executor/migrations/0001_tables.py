"""The chassis tables and the executor's own: tasks, attempts, workers, engines, the rules of plans."""

from alembic import op

from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# `task` is written about five times in its life: the room left in each page keeps its versions together.
# The partial indexes are the claim's view of the world: what waits, by plan and engine; what holds a slot; who owns it.
TABLES = """
CREATE TABLE task (
    id                      uuid PRIMARY KEY,
    plan_id                 uuid NOT NULL,
    item_key                text NOT NULL,
    step                    text,
    position                integer NOT NULL,
    task_group              text,
    group_limit             integer,
    engine_id               text NOT NULL,
    spec                    jsonb NOT NULL,
    traceparent             text,
    definitions_revision    bigint NOT NULL,
    state                   text NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'CLAIMED', 'SUBMITTING',
                            'RUNNING', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    reason                  text NOT NULL DEFAULT '',
    version                 bigint NOT NULL DEFAULT 1,
    attempt                 integer NOT NULL DEFAULT 1,
    max_attempts            integer NOT NULL,
    infrastructure_faults   integer NOT NULL DEFAULT 0,
    infrastructure_attempts integer NOT NULL,
    fence                   bigint NOT NULL DEFAULT 0,
    owner                   uuid,
    sends                   integer NOT NULL DEFAULT 0,
    handle                  text,
    phase                   text,
    priority                smallint NOT NULL,
    not_before              timestamptz NOT NULL DEFAULT now(),
    on_unknown              text,
    queued_seconds          double precision,
    submitting_seconds      double precision,
    running_seconds         double precision,
    cancelling_seconds      double precision,
    total_seconds           double precision,
    cancel_requested_at     timestamptz,
    cancel_reason           text,
    kill                    boolean NOT NULL DEFAULT false,
    stop_intent_at          timestamptz,
    stop_cause              text CHECK (stop_cause IN ('cancelled', 'timed_out')),
    waiting                 jsonb,
    cause                   text,
    error                   text,
    exit_code               integer,
    result                  jsonb,
    created_at              timestamptz NOT NULL DEFAULT now(),
    queued_at               timestamptz NOT NULL DEFAULT now(),
    state_at                timestamptz NOT NULL DEFAULT now(),
    submitted_at            timestamptz,
    started_at              timestamptz,
    observed_at             timestamptz,
    ended_at                timestamptz,
    CHECK ((owner IS NOT NULL) = (state IN ('CLAIMED', 'SUBMITTING')))
) WITH (fillfactor = 70);
CREATE INDEX task_plan ON task (plan_id);
CREATE INDEX task_queue ON task (plan_id, engine_id, priority DESC, position, not_before) WHERE state = 'QUEUED';
CREATE INDEX task_slots ON task (plan_id, engine_id, task_group)
    WHERE state IN ('CLAIMED', 'SUBMITTING', 'RUNNING', 'UNKNOWN');
CREATE INDEX task_owned ON task (owner) WHERE state IN ('CLAIMED', 'SUBMITTING');
CREATE INDEX task_watched ON task (engine_id, id) WHERE state IN ('RUNNING', 'UNKNOWN');
CREATE INDEX task_queued_limit ON task (queued_at)
    WHERE state = 'QUEUED' AND (queued_seconds IS NOT NULL OR total_seconds IS NOT NULL);

CREATE TABLE attempt (
    task_id      uuid NOT NULL,
    attempt      integer NOT NULL,
    handle       text,
    submitted_at timestamptz,
    started_at   timestamptz,
    ended_at     timestamptz NOT NULL DEFAULT now(),
    cause        text NOT NULL,
    exit_code    integer,
    error        text,
    PRIMARY KEY (task_id, attempt)
);

CREATE TABLE worker (
    id          uuid PRIMARY KEY,
    host_id     text NOT NULL,
    lease_until timestamptz NOT NULL,
    dead        boolean NOT NULL DEFAULT false,
    started_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE engine (
    id                text PRIMARY KEY,
    revision          bigint NOT NULL,
    deleted           boolean NOT NULL DEFAULT false,
    definition        jsonb NOT NULL,
    engine_group      text NOT NULL,
    intake            text NOT NULL,
    concurrency       integer NOT NULL,
    starts_per_minute double precision,
    starts_at_once    integer NOT NULL,
    tokens            double precision NOT NULL,
    tokens_at         timestamptz NOT NULL DEFAULT now(),
    breaker           text NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open')),
    breaker_failures  integer NOT NULL,
    breaker_seconds   double precision NOT NULL,
    breaker_since     timestamptz,
    probe_at          timestamptz,
    failures          integer NOT NULL DEFAULT 0,
    version           bigint NOT NULL DEFAULT 1,
    last_answer_at    timestamptz,
    last_error        text
) WITH (fillfactor = 50);

CREATE TABLE engine_lease (
    engine_id   text PRIMARY KEY,
    holder      uuid NOT NULL,
    fence       bigint NOT NULL DEFAULT 1,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE plan_rules (
    plan_id           uuid PRIMARY KEY,
    version           bigint NOT NULL,
    held              boolean NOT NULL,
    held_reason       text NOT NULL DEFAULT '',
    closed            boolean NOT NULL DEFAULT false,
    priority          smallint NOT NULL,
    task_limit        integer,
    starts_per_minute double precision,
    tokens            double precision NOT NULL DEFAULT 1,
    tokens_at         timestamptz NOT NULL DEFAULT now(),
    newest_first      boolean NOT NULL DEFAULT false,
    canary_first      integer,
    canary_failures   integer,
    brake_ratio       double precision,
    brake_after       integer
) WITH (fillfactor = 50);
CREATE INDEX plan_rules_open ON plan_rules (plan_id) WHERE NOT closed AND NOT held;
"""


def upgrade() -> None:
    for statement in (TABLES_V1 + TABLES).split(";\n"):
        if statement.strip():
            op.execute(statement)
