"""The chassis tables and the planner's own: plans, the pages of their requests, their items."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import CHECKED_VERSION_V1, RESTORE_MARK_V1, TABLES_V1

revision = "0001"
down_revision = None

# `work` and `spec` are texts: no statement reads inside them.
# An item is updated a few times: room in each page keeps those updates off the indexes.
TABLES = """
CREATE TABLE plan (
    id                   uuid PRIMARY KEY,
    spec                 text NOT NULL,
    definitions_revision bigint NOT NULL,
    traceparent          text,
    state                text NOT NULL CHECK (state IN ('ACCEPTED', 'RESOLVING', 'PREVIEWED', 'AWAITING_APPROVAL',
                         'RUNNING', 'PAUSED', 'CANCELLING', 'SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED',
                         'CANCELLED', 'REFUSED')),
    version              bigint NOT NULL,
    published_version    bigint NOT NULL DEFAULT 0,
    counts               text NOT NULL,
    reason               text NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL,
    started_at           timestamptz,
    ended_at             timestamptz,
    pages                integer NOT NULL,
    pages_seen           integer NOT NULL DEFAULT 0,
    pages_published      integer NOT NULL DEFAULT 0,
    end_position         integer NOT NULL DEFAULT 0,
    next_position        integer NOT NULL DEFAULT 0,
    unsent_end           integer NOT NULL DEFAULT 0,
    tasks                integer NOT NULL DEFAULT 0,
    live_tasks           integer NOT NULL DEFAULT 0,
    task_versions        bigint NOT NULL DEFAULT 0,
    ready_items          integer NOT NULL DEFAULT 0,
    steps                integer NOT NULL DEFAULT 0,
    deadline_at          timestamptz,
    rules                text NOT NULL,
    rules_version        bigint NOT NULL,
    rules_confirmed      bigint NOT NULL DEFAULT 0,
    rules_published_at   timestamptz,
    held                 boolean NOT NULL DEFAULT false,
    held_by              text,
    held_reason          text NOT NULL DEFAULT '',
    held_at              timestamptz,
    held_version         bigint NOT NULL DEFAULT 1,
    previous             uuid,
    stop                 text,
    pending_operations   text NOT NULL DEFAULT '[]',
    copy_position        integer,
    query_at             timestamptz NOT NULL DEFAULT now() + interval '60 seconds',
    queried_at           timestamptz NOT NULL DEFAULT now(),
    queries              smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX plan_live ON plan (query_at)
    WHERE state NOT IN ('SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED', 'REFUSED');

CREATE INDEX plan_deadline ON plan (deadline_at) WHERE deadline_at IS NOT NULL AND ended_at IS NULL;

CREATE INDEX plan_rules_unconfirmed ON plan (rules_published_at) WHERE rules_published_at IS NOT NULL;

CREATE INDEX plan_ended ON plan (ended_at) WHERE ended_at IS NOT NULL;

-- plans past retention whose other rows are still to be deleted
CREATE TABLE pruned_plan (plan_id uuid PRIMARY KEY);

CREATE TABLE request_page (
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
    step         smallint,
    combination  text,
    reason       text,
    result       text,
    stopping     text,
    PRIMARY KEY (plan_id, position),
    CONSTRAINT item_key UNIQUE (plan_id, key)
) WITH (fillfactor = 85);

CREATE TABLE plan_pipeline (
    plan_id  uuid PRIMARY KEY,
    pipeline text NOT NULL
);

CREATE TABLE step (
    plan_id       uuid NOT NULL,
    index         smallint NOT NULL,
    state         text NOT NULL CHECK (state IN ('WAITING', 'READY', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED',
                  'SKIPPED', 'REUSED')),
    waiting       integer NOT NULL,
    active        integer NOT NULL,
    unknown       integer NOT NULL,
    succeeded     integer NOT NULL,
    failed        integer NOT NULL,
    skipped       integer NOT NULL,
    cancelled     integer NOT NULL,
    next_position integer NOT NULL,
    unsent_end    integer NOT NULL,
    carried       text,
    blamed        smallint[] NOT NULL,
    reason        text NOT NULL,
    started_at    timestamptz,
    ended_at      timestamptz,
    ended_order   integer NOT NULL,
    PRIMARY KEY (plan_id, index)
) WITH (fillfactor = 70);

-- kept to be republished: the facts that carried the transitions are gone after a week
CREATE TABLE plan_transition (
    plan_id uuid NOT NULL,
    version bigint NOT NULL,
    state   text NOT NULL,
    at      timestamptz NOT NULL,
    actor   text,
    reason  text NOT NULL,
    PRIMARY KEY (plan_id, version)
);

CREATE TABLE republish_request (
    plan_id      uuid PRIMARY KEY,
    operation_id uuid NOT NULL,
    items        boolean NOT NULL,
    page         integer NOT NULL DEFAULT 1,
    seq          bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX republish_request_next ON republish_request (seq);

-- every version of a job or pipeline that was seen; triggers as version 0
CREATE TABLE definition (
    kind       text NOT NULL,
    id         text NOT NULL,
    version    bigint NOT NULL,
    revision   bigint NOT NULL,
    definition text NOT NULL,
    deleted    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (kind, id, version)
);

-- plans of schedules and triggers that have not ended; `request` of those that wait for the previous one
CREATE TABLE plan_start (
    plan_id    uuid PRIMARY KEY,
    source     text NOT NULL,
    queued     boolean NOT NULL,
    request    text NOT NULL DEFAULT '',
    concurrency integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX plan_start_by_source ON plan_start (source, created_at);

CREATE TABLE trigger_count (
    id              text PRIMARY KEY,
    matched         bigint NOT NULL,
    not_matched     bigint NOT NULL,
    last_matched_at timestamptz,
    version         bigint NOT NULL
);

CREATE TABLE trigger_event (
    trigger_id text NOT NULL,
    source     text NOT NULL,
    event_id   text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (trigger_id, source, event_id)
);
CREATE INDEX trigger_event_expired ON trigger_event (expires_at);

CREATE TABLE debounced_event (
    trigger_id text NOT NULL,
    key        text NOT NULL,
    event      text NOT NULL,
    due_at     timestamptz NOT NULL,
    PRIMARY KEY (trigger_id, key)
);

-- a held or batched event was taken by its trigger already: (source, id) is in `trigger_event`
CREATE TABLE batched_event (
    trigger_id  text NOT NULL,
    key         text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    event       text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger_id, key, seq)
);

CREATE TABLE held_event (
    trigger_id  text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    event       text NOT NULL,
    freeze_id   text NOT NULL,
    starts      boolean,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger_id, seq)
);

CREATE TABLE delayed_start (
    plan_id    uuid PRIMARY KEY,
    trigger_id text NOT NULL,
    due_at     timestamptz NOT NULL,
    request    text NOT NULL
);
CREATE INDEX delayed_start_due ON delayed_start (due_at);
CREATE INDEX delayed_start_of ON delayed_start (trigger_id);

CREATE TABLE trigger_pace (
    trigger_id text PRIMARY KEY,
    next_at    timestamptz NOT NULL
);

CREATE TABLE source_count (
    source        text NOT NULL,
    hour_at       timestamptz NOT NULL,
    received      bigint NOT NULL,
    unclaimed     bigint NOT NULL,
    repeated      bigint NOT NULL DEFAULT 0,
    last_event_at timestamptz NOT NULL,
    version       bigint NOT NULL,
    PRIMARY KEY (source, hour_at)
);
CREATE INDEX source_count_by_hour ON source_count (hour_at);
"""

# What plans ask to be looked up, what was found and decided, and which objects live plans occupy.
PREVIEWS = """
CREATE TABLE plan_selection (
    plan_id      uuid NOT NULL,
    part         smallint NOT NULL,
    engine       text NOT NULL,
    selection    text NOT NULL,
    selection_id uuid NOT NULL,
    round        integer NOT NULL,
    pages        integer,
    error        text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (plan_id, part)
);
CREATE UNIQUE INDEX plan_selection_id ON plan_selection (selection_id);

CREATE TABLE resolved_page (
    plan_id      uuid NOT NULL,
    selection_id uuid NOT NULL,
    page         integer NOT NULL,
    items        text NOT NULL,
    PRIMARY KEY (selection_id, page)
);
CREATE INDEX resolved_page_plan ON resolved_page (plan_id);

CREATE TABLE decided_item (
    plan_id  uuid NOT NULL,
    position integer NOT NULL,
    body     text NOT NULL,
    PRIMARY KEY (plan_id, position)
);

CREATE TABLE occupied_object (
    engine  text NOT NULL,
    object  text NOT NULL,
    plan_id uuid NOT NULL,
    PRIMARY KEY (engine, object)
);
CREATE INDEX occupied_object_plan ON occupied_object (plan_id);
"""


def upgrade() -> None:
    run_script(TABLES_V1 + RESTORE_MARK_V1 + CHECKED_VERSION_V1 + TABLES + PREVIEWS)
