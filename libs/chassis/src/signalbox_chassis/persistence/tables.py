"""The tables every service schema has: inbox, outbox, dead_letter. A service's first migration creates them.

`TABLES_V1` never changes once released; a change is a new constant used by a new migration of every service.
"""

# A sent row is in no index: the partial one is all the relay needs, and leaving it costs nothing.
TABLES_V1 = """
CREATE TABLE inbox (
    day         date NOT NULL,
    event_id    bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, event_id)
) PARTITION BY RANGE (day);
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    day        date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    topic      text NOT NULL,
    key        bytea NOT NULL,
    headers    bytea NOT NULL,
    value      bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at    timestamptz
) PARTITION BY RANGE (day);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;

CREATE TABLE dead_letter (
    id               uuid PRIMARY KEY,
    topic            text NOT NULL,
    partition_number integer NOT NULL,
    record_offset    bigint NOT NULL,
    record_at        timestamptz NOT NULL,
    key              bytea,
    headers          text NOT NULL,
    value            bytea,
    event_type       text,
    error            text NOT NULL,
    state            text NOT NULL DEFAULT 'PARKED' CHECK (state IN ('PARKED', 'REDRIVING', 'REDRIVEN', 'DROPPED')),
    attempts         integer NOT NULL DEFAULT 1,
    operation_id     uuid,
    actor            text,
    reason           text,
    parked_at        timestamptz NOT NULL DEFAULT now(),
    settled_at       timestamptz
);
CREATE INDEX dead_letter_open ON dead_letter (parked_at) WHERE state IN ('PARKED', 'REDRIVING');
"""

# For services with versions of their own: the mark of the database they wrote to last (`restore_detection`).
RESTORE_MARK_V1 = """
CREATE TABLE restore_mark (
    single      boolean PRIMARY KEY DEFAULT true CHECK (single),
    place       text NOT NULL,
    written_by  bigint NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    version_floor bigint NOT NULL DEFAULT 0,
    rewind_from timestamptz
) WITH (fillfactor = 50);
"""

# INVARIANT a forged or damaged fact freezes nothing for ever: a version far above the known one is parked, not applied.
# After a restore versions go on at the time in hundredths of a second (`restore_detection`): such a jump is none, if it
# is not in the future (ten minutes are for clocks). 173568960000 is the beginning of 2025.
CHECKED_VERSION_V1 = """
CREATE FUNCTION checked_version(known bigint, wanted bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF wanted - known <= 100000000
        OR (wanted >= 173568960000 AND wanted <= extract(epoch FROM now()) * 100 + 60000) THEN
        RETURN wanted;
    END IF;
    RAISE EXCEPTION 'the version jumps from % to %: at most 100000000 are believed', known, wanted
        USING ERRCODE = 'data_exception';
END $$;
"""
