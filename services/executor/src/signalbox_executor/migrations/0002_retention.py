"""When the rules of a plan changed last: a plan that closed long ago is past retention."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE plan_rules ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now()")
    op.execute("CREATE INDEX plan_rules_closed ON plan_rules (changed_at) WHERE closed")
