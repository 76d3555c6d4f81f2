-- Definitions, their versions and references. The sequence `definition_revision` advances under a lock held until the
-- commit: revisions are published in order.

CREATE SEQUENCE definition_revision;
CREATE TABLE definition (
    kind       text NOT NULL,
    id         text NOT NULL,
    revision   bigint NOT NULL,
    version    integer NOT NULL,
    body       text NOT NULL,
    project    text NOT NULL,
    name       text NOT NULL,
    labels     jsonb NOT NULL,
    deleted    boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE definition_version (
    kind       text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    revision   bigint NOT NULL,
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    PRIMARY KEY (kind, id, version)
);

CREATE TABLE definition_reference (
    kind    text NOT NULL,
    id      text NOT NULL,
    to_kind text NOT NULL,
    to_id   text NOT NULL,
    PRIMARY KEY (kind, id, to_kind, to_id)
);
CREATE INDEX definition_reference_users ON definition_reference (to_kind, to_id);

-- what a definition reaches by its references: a schedule's engine is that of its job
CREATE FUNCTION engines_of(of_kind text, of_id text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE reached (kind, id, depth) AS (
        SELECT of_kind, of_id, 0
        UNION
        SELECT r.to_kind, r.to_id, reached.depth + 1 FROM reached
        JOIN definition_reference r ON r.kind = reached.kind AND r.id = reached.id
        WHERE reached.depth < 4 AND r.to_kind IN ('engine', 'job', 'pipeline')
    )
    SELECT DISTINCT id FROM reached WHERE kind = 'engine'
$$;
