-- What callers of the API did: idempotency keys, operations, tickets of the live feed (used once, within seconds).

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
    requested_at timestamptz NOT NULL DEFAULT now(),
    resent_at    timestamptz,
    resends      integer NOT NULL DEFAULT 0
);
CREATE INDEX operation_by_target ON operation (target, requested_at DESC);
CREATE INDEX operation_requested ON operation (requested_at);

CREATE TABLE live_ticket (
    hash       bytea PRIMARY KEY,
    origin     text NOT NULL,
    credential bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
