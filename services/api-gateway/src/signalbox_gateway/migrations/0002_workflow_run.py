"""What runs of workflows were asked to start with, and how far tasks are."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE workflow_run (
            plan_id    uuid PRIMARY KEY,
            task_id    bigint,
            dataset_id bigint,
            parameters text NOT NULL,
            note       text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        """
        CREATE TABLE task_progress (
            task_id  uuid PRIMARY KEY,
            attempt  integer NOT NULL,
            sequence bigint NOT NULL,
            record   text NOT NULL
        )
        """
    )
