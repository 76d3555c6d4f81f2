"""Reprocessing jobs: what was asked, and the newest state their owner published."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE reprocessing_job (
            id           uuid PRIMARY KEY,
            operation_id uuid,
            config       text,
            actor        text NOT NULL DEFAULT '',
            reason       text NOT NULL DEFAULT '',
            engine       text,
            retry_of     uuid,
            created_at   timestamptz NOT NULL DEFAULT now(),
            version      bigint NOT NULL DEFAULT 0,
            status       text NOT NULL DEFAULT 'pending',
            record       text
        )
        """
    )
    op.execute("CREATE INDEX reprocessing_job_newest ON reprocessing_job (created_at DESC, id DESC)")
