"""Plans past retention: an index to find them, and the plans whose other rows are still to be deleted."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE INDEX plan_ended ON plan (ended_at) WHERE ended_at IS NOT NULL")
    op.execute("CREATE TABLE pruned_plan (plan_id uuid PRIMARY KEY)")
