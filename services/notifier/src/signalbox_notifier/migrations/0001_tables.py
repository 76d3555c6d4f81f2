"""The chassis tables and the notifier's own: channels, subscriptions, plans, incidents, deliveries and their tries."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# `definition` and `message` are texts: no statement reads inside them.
TABLES = """
CREATE TABLE definition (
    kind       text NOT NULL,
    id         text NOT NULL,
    revision   bigint NOT NULL,
    definition text NOT NULL,
    deleted    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (kind, id)
);

CREATE TABLE channel_state (
    id          text PRIMARY KEY,
    disabled_at timestamptz,
    reason      text NOT NULL DEFAULT '',
    revision    bigint NOT NULL DEFAULT 0,
    paused_until timestamptz
);

CREATE TABLE plan (
    id            uuid PRIMARY KEY,
    version       bigint NOT NULL,
    summary       text NOT NULL,
    ended         boolean NOT NULL DEFAULT false,
    error         text NOT NULL DEFAULT '',
    feed_sequence bigint NOT NULL DEFAULT 0,
    fed_at        timestamptz,
    seen_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX plan_fed ON plan (fed_at) WHERE fed_at IS NOT NULL;
CREATE INDEX plan_by_age ON plan (seen_at);

CREATE TABLE task_version (
    id      uuid PRIMARY KEY,
    plan_id uuid NOT NULL,
    version bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX task_version_by_plan ON task_version (plan_id);

CREATE TABLE incident (
    id              uuid PRIMARY KEY,
    grouping        text NOT NULL,
    fingerprint     text NOT NULL,
    state           text NOT NULL CHECK (state IN ('OPEN', 'ACKNOWLEDGED', 'SNOOZED', 'RECOVERED')),
    severity        text NOT NULL,
    title           text NOT NULL,
    project         text NOT NULL,
    plan_id         uuid,
    labels          text NOT NULL DEFAULT '{}',
    occurrences     bigint NOT NULL,
    round           integer NOT NULL DEFAULT 1,
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    acknowledged_by text,
    snoozed_until   timestamptz,
    recovered_at    timestamptz,
    note            text NOT NULL DEFAULT '',
    version         bigint NOT NULL DEFAULT 1,
    published       bigint NOT NULL DEFAULT 0,
    UNIQUE (grouping, fingerprint)
) WITH (fillfactor = 70);
CREATE INDEX incident_by_grouping ON incident (grouping) WHERE state <> 'RECOVERED';
CREATE INDEX incident_unpublished ON incident (id) WHERE published < version;

-- what a channel was sent about an incident: the message to edit, and how much of the incident it shows
CREATE TABLE incident_message (
    incident_id uuid NOT NULL,
    channel_id  text NOT NULL,
    subscription_id text NOT NULL,
    round       integer NOT NULL,
    occurrences bigint NOT NULL,
    message_ref text NOT NULL DEFAULT '',
    sequence    integer NOT NULL DEFAULT 1,
    update_at   timestamptz,
    PRIMARY KEY (incident_id, channel_id)
);
CREATE INDEX incident_message_due ON incident_message (update_at) WHERE update_at IS NOT NULL;

CREATE TABLE delivery (
    id              uuid PRIMARY KEY,
    channel_id      text NOT NULL,
    subscription_id text,
    incident_id     uuid,
    plan_id         uuid,
    event_id        text,
    event_type      text,
    title           text NOT NULL,
    message         text NOT NULL,
    state           text NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'sending', 'sent', 'retrying', 'dead', 'dropped')),
    attempts        integer NOT NULL DEFAULT 0,
    throttled       integer NOT NULL DEFAULT 0,
    next_try_at     timestamptz,
    lease_until     timestamptz,
    sent_at         timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    traceparent     text,
    version         bigint NOT NULL DEFAULT 1,
    published       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX delivery_due ON delivery (channel_id, next_try_at) WHERE state IN ('pending', 'retrying', 'sending');
CREATE INDEX delivery_unpublished ON delivery (id) WHERE published < version;
CREATE INDEX delivery_by_age ON delivery (created_at);

CREATE TABLE delivery_try (
    delivery_id uuid NOT NULL,
    number      integer NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL,
    answer      text NOT NULL,
    PRIMARY KEY (delivery_id, number)
);

-- one row while messages are late, so that one replica says so once
CREATE TABLE late_alarm (
    id    integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    since timestamptz NOT NULL DEFAULT now()
);

-- what a subscription with a digest collects, until its oldest entry is due
CREATE TABLE digest_entry (
    subscription_id text NOT NULL,
    event_id        text NOT NULL,
    message         text NOT NULL,
    due_at          timestamptz NOT NULL,
    added_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscription_id, event_id)
);
CREATE INDEX digest_entry_due ON digest_entry (due_at);

CREATE TABLE deadline (
    plan_id         uuid NOT NULL,
    subscription_id text NOT NULL,
    rule            text NOT NULL,
    due_at          timestamptz NOT NULL,
    PRIMARY KEY (plan_id, subscription_id, rule)
);
CREATE INDEX deadline_due ON deadline (due_at);

-- the live feed: what happened to each plan, in its order, for a while
CREATE TABLE live_event (
    plan_id  uuid NOT NULL,
    sequence bigint NOT NULL,
    body     text NOT NULL,
    fed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plan_id, sequence)
);
CREATE INDEX live_event_by_age ON live_event (fed_at);

-- which parts of a task's run were published: the tasks of an Airflow DAG
CREATE TABLE task_step (
    task_id  uuid PRIMARY KEY,
    plan_id  uuid NOT NULL,
    attempt  integer NOT NULL,
    sequence bigint NOT NULL,
    steps    text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX task_step_by_plan ON task_step (plan_id);
"""


def upgrade() -> None:
    run_script(TABLES_V1 + TABLES)
