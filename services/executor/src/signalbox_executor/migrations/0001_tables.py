"""The chassis tables and the executor's own."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import CHECKED_VERSION_V1, RESTORE_MARK_V1, TABLES_V1

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
    handle_url              text,
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
    pending_transitions     jsonb NOT NULL DEFAULT '[]',
    published               boolean NOT NULL DEFAULT true,
    history                 jsonb NOT NULL DEFAULT '[]',
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
CREATE INDEX task_unpublished ON task (state_at) WHERE NOT published;

CREATE TABLE attempt (
    task_id      uuid NOT NULL,
    attempt      integer NOT NULL,
    handle       text,
    handle_url   text,
    submitted_at timestamptz,
    started_at   timestamptz,
    ended_at     timestamptz NOT NULL DEFAULT now(),
    cause        text NOT NULL,
    exit_code    integer,
    error        text,
    log_done     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, attempt)
);
CREATE INDEX attempt_log ON attempt (ended_at) WHERE NOT log_done;

CREATE TABLE worker (
    id          uuid PRIMARY KEY,
    host_id     text NOT NULL,
    lease_until timestamptz NOT NULL,
    dead        boolean NOT NULL DEFAULT false,
    reaches     text[] NOT NULL DEFAULT '{}',
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
    last_error        text,
    starts_since_boost integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE engine_lease (
    engine_id   text PRIMARY KEY,
    holder      uuid NOT NULL,
    fence       bigint NOT NULL DEFAULT 1,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE plan_rules (
    plan_id           uuid PRIMARY KEY,
    project           text NOT NULL DEFAULT 'default',
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
    brake_after       integer,
    starved_since     timestamptz,
    changed_at        timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX plan_rules_closed ON plan_rules (changed_at) WHERE closed;
CREATE INDEX plan_rules_open ON plan_rules (plan_id) WHERE NOT closed AND NOT held;

-- past windows stay: a time limit of a queued task does not count the time it was frozen
CREATE TABLE freeze_definition (
    id         text PRIMARY KEY,
    revision   bigint NOT NULL,
    definition text NOT NULL,
    lifted_at  timestamptz
);

CREATE TABLE freeze_window (
    freeze_id text NOT NULL,
    from_at   timestamptz NOT NULL,
    until_at  timestamptz NOT NULL DEFAULT 'infinity',
    engines   text[] NOT NULL,
    projects  text[] NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (freeze_id, from_at)
);

CREATE TABLE seen (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    revision bigint NOT NULL
);
INSERT INTO seen (revision) VALUES (0);

CREATE TABLE engine_state (
    engine_id text PRIMARY KEY,
    version   bigint NOT NULL,
    published jsonb NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE operation (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL
        CHECK (kind IN ('engine.test', 'plan.republish', 'artifact.check', 'task.savepoint', 'task.annotate',
               'dag.pause', 'oozie.control', 'oozie.show')),
    event_id     text NOT NULL,
    target       text NOT NULL,
    traceparent  text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    engine_id    text,
    revision     bigint,
    plan_ids     uuid[],
    after        uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    after_plan   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    republished  bigint NOT NULL DEFAULT 0,
    data         jsonb
);

CREATE TABLE log_follow (
    task_id  uuid NOT NULL,
    attempt  integer NOT NULL,
    until_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, attempt)
);

-- runs that their engine reported as changed, until whoever observes the engine has taken notice
CREATE TABLE run_hint (
    engine_id text NOT NULL,
    task_id   uuid NOT NULL,
    PRIMARY KEY (engine_id, task_id)
);

CREATE TABLE log_copy (
    task_id     uuid NOT NULL,
    attempt     integer NOT NULL,
    bytes       bigint NOT NULL DEFAULT 0,
    truncated   boolean NOT NULL DEFAULT false,
    idle        integer NOT NULL DEFAULT 0,
    checked_at  timestamptz,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (task_id, attempt)
) WITH (fillfactor = 50);

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
# `pending_transitions` are those that the next fact carries, or the last one carried (`published`): one version always
# has the same ones, so that a fact published twice under one id is the same fact. When others take their place, they
# become `history`: most tasks are published once, with their end, and never come here. As many as a fact may carry.
KEEP_HISTORY = """
CREATE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.history := OLD.history || OLD.pending_transitions;
    WHILE jsonb_array_length(NEW.history) > 200 LOOP
        NEW.history := NEW.history - 0;
    END LOOP;
    RETURN NEW;
END $$;
"""
TRIGGER = """
CREATE TRIGGER keep_history BEFORE UPDATE ON task FOR EACH ROW
WHEN (OLD.published AND OLD.pending_transitions <> '[]' AND OLD.pending_transitions <> NEW.pending_transitions)
EXECUTE FUNCTION keep_history()
"""


def upgrade() -> None:
    run_script(TABLES_V1 + RESTORE_MARK_V1 + CHECKED_VERSION_V1 + TABLES)
    run_script(KEEP_HISTORY + TRIGGER)
