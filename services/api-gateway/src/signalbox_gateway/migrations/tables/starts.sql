-- What starts plans: ticks, triggers, events and their sources, runs of workflows.
-- `secrets` of a source are encrypted with a key of SIGNALBOX_SECRET_KEY and bound to the source's name.

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
    repeated      bigint NOT NULL DEFAULT 0,
    last_event_at timestamptz,
    lag_seconds   double precision NOT NULL,
    PRIMARY KEY (source, hour_at)
);
CREATE INDEX source_hour_newest ON source_hour (hour_at DESC, source);

CREATE TABLE workflow_run (
    plan_id    uuid PRIMARY KEY,
    task_id    bigint,
    dataset_id bigint,
    parameters text NOT NULL,
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
