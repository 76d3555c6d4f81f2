"""Since when a plan that may start something is passed over for others; how often an engine kept to the order since."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE plan_rules ADD passed_over_at timestamptz")
    op.execute("ALTER TABLE engine ADD turns integer NOT NULL DEFAULT 0")
