-- Accounts with passwords, sessions, keys, bindings and signing keys.
-- `skeleton` is equal for names that look alike. `credentials_version` grows with each change of the password: access
-- tokens carry it.

CREATE TABLE principal (
    name                text PRIMARY KEY,
    id                  uuid NOT NULL DEFAULT gen_random_uuid(),
    kind                text NOT NULL DEFAULT 'service' CHECK (kind IN ('user', 'service')),
    email               text,
    title               text NOT NULL DEFAULT '',
    password_hash       text,
    credentials_version integer NOT NULL DEFAULT 1,
    disabled_at         timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    skeleton            text GENERATED ALWAYS AS (translate(lower(name), '01i.-_', 'oll')) STORED
);
CREATE UNIQUE INDEX principal_id ON principal (id);
CREATE UNIQUE INDEX principal_email ON principal (lower(email)) WHERE email IS NOT NULL;
CREATE INDEX principal_skeleton ON principal (skeleton);

CREATE TABLE token (
    id           text PRIMARY KEY,
    principal    text NOT NULL REFERENCES principal (name),
    secret_hash  bytea NOT NULL,
    permissions  text[] NOT NULL,
    label        text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT '',
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX token_by_principal ON token (principal, created_at);

CREATE TABLE external_identity (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    principal  text NOT NULL REFERENCES principal (name) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);

-- Logins at the OpenID provider that came back: none does so twice. A row is forgotten when its login has expired.
CREATE TABLE oidc_login_used (
    id         uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
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

CREATE TABLE signing_key (
    kid        text PRIMARY KEY,
    purpose    text NOT NULL CHECK (purpose IN ('access', 'session')),
    wrapped_by text NOT NULL DEFAULT '',
    secret     bytea NOT NULL,
    public     text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
CREATE UNIQUE INDEX signing_key_in_use ON signing_key (purpose) WHERE retired_at IS NULL;
