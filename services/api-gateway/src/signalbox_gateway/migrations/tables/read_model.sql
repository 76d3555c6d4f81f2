-- What other services published of plans, tasks, engines, and of themselves.
-- `record` and `item` hold a fact's JSON as text: they are read as one value and never searched.
-- A task and its item share one row, because the task id is derived from plan and item: either may come first.
-- `position` is past every other until the item's page comes. `seq` is the order of arrival.
-- `version` of a task is -1 until its first fact; a skipped item never gets another.
-- `queries` counts the queries about a plan since its owners last published it. `rebuild` is the last query for all.

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
CREATE INDEX parked_key ON parked ((record::jsonb ->> 'key')) WHERE state NOT IN ('REDRIVEN', 'DROPPED');
CREATE INDEX parked_requested ON parked (operation_id) WHERE operation_id IS NOT NULL;

CREATE TABLE rebuild (
    single       boolean PRIMARY KEY DEFAULT true CHECK (single),
    operation_id uuid NOT NULL,
    queried_at   timestamptz NOT NULL DEFAULT now(),
    queries      integer NOT NULL DEFAULT 1,
    done_at      timestamptz
);

CREATE TABLE task_progress (
    task_id  uuid PRIMARY KEY,
    attempt  integer NOT NULL,
    sequence bigint NOT NULL,
    record   text NOT NULL
);

CREATE TABLE reprocessing_job (
    id           uuid PRIMARY KEY,
    operation_id uuid,
    config       text,
    actor        text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    engine       text,
    retry_of     uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    version      bigint NOT NULL DEFAULT 0,
    status       text NOT NULL DEFAULT 'pending',
    ended_at     timestamptz,
    record       text
);
CREATE INDEX reprocessing_job_newest ON reprocessing_job (created_at DESC, id DESC);
CREATE INDEX reprocessing_job_ended ON reprocessing_job (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE service_state (
    service     text NOT NULL,
    instance    text NOT NULL,
    version     bigint NOT NULL,
    record      text NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, instance)
);

-- A plan of 100,000 items fills PostgreSQL's sample with one plan: it then expects three plans and reads the whole
-- table for each one that ends. -0.01 makes it expect one plan for a hundred rows.
ALTER TABLE task ALTER COLUMN plan_id SET (n_distinct = -0.01);
ALTER TABLE plan_page ALTER COLUMN plan_id SET (n_distinct = -0.01);

-- the engines of a plan: those of its tasks, and those its target reaches
CREATE FUNCTION engines_of_plan(of_id uuid, of_target text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT engine FROM (
        SELECT DISTINCT coalesce(t.engine, t.item::jsonb ->> 'engine') AS engine FROM task t WHERE t.plan_id = of_id
        UNION
        SELECT engines_of(split_part(of_target, ':', 1), substr(of_target, strpos(of_target, ':') + 1))
        WHERE of_target LIKE '%:%'
    ) found WHERE engine IS NOT NULL
$$;
