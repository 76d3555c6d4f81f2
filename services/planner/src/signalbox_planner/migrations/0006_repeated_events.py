"""Repeated events are counted, and held events are decided before they are released page by page."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE source_count ADD COLUMN repeated bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE held_event ADD COLUMN starts boolean")
