"""The chassis tables and the reprocessor's own: jobs, workers, the ledger of files, bad lines; what workers may."""

from alembic import op

from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# A job's id is the id of its plan. `published_record` is what was published last: a change makes a new version.
TABLES = """
CREATE TABLE job (
    id                   uuid PRIMARY KEY,
    operation_id         uuid NOT NULL,
    config               text NOT NULL,
    engine               text NOT NULL,
    engine_kind          text NOT NULL DEFAULT 'process' CHECK (engine_kind IN ('process', 'kubernetes')),
    definitions_revision bigint NOT NULL,
    project              text NOT NULL,
    actor                text NOT NULL,
    reason               text NOT NULL,
    retry_of             uuid,
    status               text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    created_at           timestamptz NOT NULL,
    started_at           timestamptz,
    completed_at         timestamptz,
    total_files          integer NOT NULL DEFAULT 0,
    total_bytes          bigint NOT NULL DEFAULT 0,
    total_workers        integer,
    error                text,
    traceparent          text,
    listing_until        timestamptz,
    planned_at           timestamptz,
    cancelled_by         uuid,
    version              bigint NOT NULL DEFAULT 0,
    published_record     text NOT NULL DEFAULT '',
    unpublished          boolean NOT NULL DEFAULT true,
    looked_at            timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX job_live ON job (looked_at) WHERE status IN ('pending', 'running') OR unpublished;
CREATE INDEX job_ended ON job (completed_at) WHERE status NOT IN ('pending', 'running') AND NOT unpublished;
CREATE INDEX job_retries ON job (retry_of) WHERE retry_of IS NOT NULL;

-- Jobs that retention deleted, until their workers, files and bad lines are deleted too.
CREATE TABLE pruned_job (job_id uuid PRIMARY KEY);

CREATE TABLE worker (
    job_id          uuid NOT NULL,
    worker_index    integer NOT NULL,
    fence           bigint NOT NULL DEFAULT 0,
    status          text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    started_at      timestamptz,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    current_file    text,
    current_line    bigint NOT NULL DEFAULT 0,
    "current_timestamp" text,
    assigned_files  integer NOT NULL DEFAULT 0,
    processed_files integer NOT NULL DEFAULT 0,
    total_lines     bigint NOT NULL DEFAULT 0,
    success_count   bigint NOT NULL DEFAULT 0,
    error_count     bigint NOT NULL DEFAULT 0,
    skipped_count   bigint NOT NULL DEFAULT 0,
    total_bytes     bigint NOT NULL DEFAULT 0,
    processed_bytes bigint NOT NULL DEFAULT 0,
    error           text,
    PRIMARY KEY (job_id, worker_index)
) WITH (fillfactor = 60);

CREATE TABLE file (
    job_id       uuid NOT NULL,
    file_index   integer NOT NULL,
    worker_index integer NOT NULL,
    path         text NOT NULL,
    size         bigint NOT NULL,
    version      text NOT NULL,
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'done', 'failed', 'skipped')),
    line         bigint NOT NULL DEFAULT 0,
    byte_offset  bigint NOT NULL DEFAULT 0,
    read_bytes   bigint NOT NULL DEFAULT 0,
    sent         bigint NOT NULL DEFAULT 0,
    skipped      bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,
    error        text,
    PRIMARY KEY (job_id, file_index),
    FOREIGN KEY (job_id, worker_index) REFERENCES worker
) WITH (fillfactor = 60);
CREATE INDEX file_by_worker ON file (job_id, worker_index);
CREATE INDEX file_failed ON file (job_id, file_index) WHERE status = 'failed';

CREATE TABLE bad_line (
    job_id      uuid NOT NULL,
    file_index  integer NOT NULL,
    line        bigint NOT NULL,
    byte_offset bigint NOT NULL,
    reason      text NOT NULL,
    sample      bytea NOT NULL,
    PRIMARY KEY (job_id, file_index, line)
);

CREATE TABLE job_token (
    hash   bytea PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES job (id) ON DELETE CASCADE
);

CREATE VIEW reprocessing_jobs AS
SELECT id::varchar(64) AS id, config::jsonb AS config, status::varchar(32) AS status, created_at, started_at,
    completed_at, ('reprocess-' || id)::varchar(255) AS k8s_job_name, total_files,
    coalesce(total_workers, 0) AS total_workers, error
FROM job;

CREATE VIEW reprocessing_workers AS
SELECT job_id::varchar(64) AS job_id, worker_index, status::varchar(32) AS status, started_at, updated_at, completed_at,
    current_file, current_line, "current_timestamp", assigned_files, processed_files, total_lines, success_count,
    error_count, skipped_count, total_bytes, processed_bytes, error
FROM worker;
"""

# INVARIANT a worker's role sees and changes the rows of one job alone: that of the token its session shows.
POLICIES = "".join(
    f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_job ON {table} USING (
    job_id = (SELECT t.job_id FROM job_token t
              WHERE t.hash = sha256(convert_to(current_setting('signalbox.job_token', true), 'UTF8'))));
"""  # noqa: S608 -- names of our own
    for table in ("worker", "file", "bad_line")
)
ALLOW_WORKER = """
CREATE FUNCTION allow_worker(role text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    EXECUTE format('GRANT SELECT ON worker, file, job_token TO %I', role);
    EXECUTE format('GRANT UPDATE (fence, status, started_at, updated_at, completed_at, current_file, current_line, '
        '"current_timestamp", processed_files, total_lines, success_count, error_count, skipped_count, '
        'processed_bytes, error) ON worker TO %I', role);
    EXECUTE format('GRANT UPDATE (status, line, byte_offset, read_bytes, sent, skipped, failed, error) ON file '
        'TO %I', role);
    EXECUTE format('GRANT SELECT, INSERT ON bad_line TO %I', role);
END $$
"""


def upgrade() -> None:
    for statement in (TABLES_V1 + TABLES + POLICIES).split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(ALLOW_WORKER)
