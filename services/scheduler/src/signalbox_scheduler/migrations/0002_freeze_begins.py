"""When a freeze began: ticks missed before it were not missed because of it."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE freeze_window ADD COLUMN began_at timestamptz NOT NULL DEFAULT now()")
