"""The chassis tables and the scheduler's own: schedules, freezes, ticks, backfills."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# `definition` is text: nothing looks inside it here.
# `cursor_at`: every tick due at or before it is decided. It only grows while the rule stays the same.
# `next_fire_at` is NULL for what never fires again: deleted, or beyond its end.
# `next_tick_id`, `next_event_date`: of the tick due at `next_due_at`. One statement stores it while on time: until
# `on_time_until` (NULL: never, each of its ticks is decided alone). `unpublished`: stored so, and not published yet.
TABLES = """
CREATE TABLE schedule (
    id            text PRIMARY KEY,
    revision      bigint NOT NULL,
    definition    text NOT NULL,
    project       text NOT NULL,
    deleted       boolean NOT NULL DEFAULT false,
    cursor_at     timestamptz NOT NULL,
    next_due_at   timestamptz,
    next_fire_at  timestamptz,
    next_tick_id  uuid,
    next_event_date date,
    on_time_until timestamptz,
    last_due_at   timestamptz,
    last_fired_at timestamptz,
    fired         bigint NOT NULL DEFAULT 0,
    skipped       bigint NOT NULL DEFAULT 0,
    problem       text NOT NULL DEFAULT '',
    version       bigint NOT NULL DEFAULT 1,
    published     bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 60);
CREATE INDEX schedule_due ON schedule (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedule_unpublished ON schedule (id) WHERE published < version;

CREATE TABLE freeze_window (
    id         text PRIMARY KEY,
    revision   bigint NOT NULL,
    definition text NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT now(),
    lifted_at  timestamptz
);

CREATE TABLE tick (
    id          uuid PRIMARY KEY,
    schedule_id text NOT NULL,
    due_at      timestamptz NOT NULL,
    event_date  date NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('FIRED', 'SKIPPED')),
    cause       text NOT NULL,
    detail      text NOT NULL DEFAULT '',
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    unpublished boolean NOT NULL DEFAULT false
);
CREATE INDEX tick_by_age ON tick (noticed_at);
CREATE INDEX tick_unpublished ON tick (noticed_at) WHERE unpublished;

CREATE TABLE backfill (
    id          uuid PRIMARY KEY,
    schedule_id text NOT NULL,
    cursor_at   timestamptz NOT NULL,
    until_at    timestamptz NOT NULL,
    remaining   integer NOT NULL,
    command     text NOT NULL,
    fired       integer NOT NULL DEFAULT 0,
    present     integer NOT NULL DEFAULT 0
);
"""


def upgrade() -> None:
    run_script(TABLES_V1 + TABLES)
