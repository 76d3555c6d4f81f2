-- The audit trail: what waits to be chained, the chain, and where it was cut when old entries were deleted.
-- A call writes `audit_pending` in its own transaction; one gateway at a time moves rows from there into the chain.

CREATE TABLE audit_pending (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    record text NOT NULL
);

CREATE TABLE audit (
    seq     bigint PRIMARY KEY,
    at      timestamptz NOT NULL,
    actor   text NOT NULL,
    action  text NOT NULL,
    target  text NOT NULL,
    outcome text NOT NULL,
    record  text NOT NULL,
    hash    bytea NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_target ON audit (target, seq);
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE audit_head (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq      bigint NOT NULL,
    hash     bytea NOT NULL,
    cut_seq  bigint NOT NULL DEFAULT 0,
    cut_hash bytea NOT NULL
);
INSERT INTO audit_head (seq, hash, cut_hash) VALUES (0, '\x', '\x');

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('signalbox.audit_prune', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit entries are never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_table_stays BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
