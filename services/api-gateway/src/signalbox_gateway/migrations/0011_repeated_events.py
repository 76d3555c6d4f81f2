"""How many events of a source were received before, by hour."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("ALTER TABLE source_hour ADD COLUMN repeated bigint NOT NULL DEFAULT 0")
