"""The engine's own page of a run."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE task ADD handle_url text")
