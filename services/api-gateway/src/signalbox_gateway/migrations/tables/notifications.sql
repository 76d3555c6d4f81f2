-- Incidents and deliveries, as the notifier published them last.

CREATE TABLE incident (
    id        uuid PRIMARY KEY,
    version   bigint NOT NULL,
    state     text NOT NULL,
    severity  text NOT NULL,
    project   text NOT NULL,
    plan_id   uuid,
    opened_at timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    record    text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX incident_newest ON incident (opened_at DESC, id DESC);

CREATE TABLE delivery (
    id          uuid PRIMARY KEY,
    version     bigint NOT NULL,
    channel_id  text NOT NULL,
    incident_id uuid,
    plan_id     uuid,
    event_type  text NOT NULL,
    state       text NOT NULL,
    created_at  timestamptz NOT NULL,
    record      text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX delivery_newest ON delivery (created_at DESC, id DESC);
CREATE INDEX delivery_by_channel ON delivery (channel_id, created_at DESC, id DESC);
CREATE INDEX delivery_unsent ON delivery (created_at DESC, id DESC) WHERE state <> 'sent';

-- one row while notifications are late, so that one gateway says so once
CREATE TABLE notification_alarm (
    id    integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    since timestamptz NOT NULL DEFAULT now()
);
