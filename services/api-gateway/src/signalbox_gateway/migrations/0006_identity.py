"""Accounts with passwords, sessions, keys, bindings and signing keys; the audit trail.

`principal` becomes the table of accounts, `token` that of keys. An account that had a token was an administrator.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

# `skeleton` is equal for names that look alike. `credentials_version` grows with each change of the password: access
# tokens carry it.
ACCOUNTS = """
ALTER TABLE principal
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN kind text NOT NULL DEFAULT 'service' CHECK (kind IN ('user', 'service')),
    ADD COLUMN email text,
    ADD COLUMN title text NOT NULL DEFAULT '',
    ADD COLUMN password_hash text,
    ADD COLUMN credentials_version integer NOT NULL DEFAULT 1,
    ADD COLUMN disabled_at timestamptz,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN skeleton text GENERATED ALWAYS AS (translate(lower(name), '01i.-_', 'oll')) STORED;
CREATE UNIQUE INDEX principal_id ON principal (id);
CREATE UNIQUE INDEX principal_email ON principal (lower(email)) WHERE email IS NOT NULL;
CREATE INDEX principal_skeleton ON principal (skeleton);

ALTER TABLE token
    ADD COLUMN label text NOT NULL DEFAULT '',
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD COLUMN last_used_at timestamptz;
CREATE INDEX token_by_principal ON token (principal, created_at);

CREATE TABLE external_identity (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    principal  text NOT NULL REFERENCES principal (name) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE session (
    id             uuid PRIMARY KEY,
    principal      text NOT NULL REFERENCES principal (name) ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('bearer', 'cookie')),
    generation     integer NOT NULL DEFAULT 0,
    address        text NOT NULL DEFAULT '',
    user_agent     text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now(),
    rotated_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL,
    revoked_at     timestamptz,
    revoked_reason text NOT NULL DEFAULT ''
);
CREATE INDEX session_by_principal ON session (principal, created_at);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE binding (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    principal  text NOT NULL REFERENCES principal (name) ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('viewer', 'user', 'operator', 'admin')),
    project    text NOT NULL DEFAULT '*',
    engine     text NOT NULL DEFAULT '*',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT '',
    UNIQUE (principal, role, project, engine)
);
INSERT INTO binding (principal, role) SELECT DISTINCT principal, 'admin' FROM token;

CREATE TABLE signing_key (
    kid        text PRIMARY KEY,
    purpose    text NOT NULL CHECK (purpose IN ('access', 'session')),
    wrapped_by text NOT NULL DEFAULT '',
    secret     bytea NOT NULL,
    public     text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
CREATE UNIQUE INDEX signing_key_in_use ON signing_key (purpose) WHERE retired_at IS NULL
"""

# What a definition reaches by its references: a schedule's engine is that of its job.
ENGINES_OF = """
CREATE FUNCTION engines_of(of_kind text, of_id text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE reached (kind, id, depth) AS (
        SELECT of_kind, of_id, 0
        UNION
        SELECT r.to_kind, r.to_id, reached.depth + 1 FROM reached
        JOIN definition_reference r ON r.kind = reached.kind AND r.id = reached.id
        WHERE reached.depth < 4 AND r.to_kind IN ('engine', 'job', 'pipeline')
    )
    SELECT DISTINCT id FROM reached WHERE kind = 'engine'
$$
"""
ENGINES_OF_PLAN = """
CREATE FUNCTION engines_of_plan(of_id uuid, of_target text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT engine FROM (
        SELECT DISTINCT coalesce(t.engine, t.item::jsonb ->> 'engine') AS engine FROM task t WHERE t.plan_id = of_id
        UNION
        SELECT engines_of(split_part(of_target, ':', 1), substr(of_target, strpos(of_target, ':') + 1))
        WHERE of_target LIKE '%:%'
    ) found WHERE engine IS NOT NULL
$$
"""


def upgrade() -> None:
    for statement in ACCOUNTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(ENGINES_OF)
    op.execute(ENGINES_OF_PLAN)
