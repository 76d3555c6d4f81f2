"""How many events of a source were received before, by hour."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE source_hour ADD COLUMN repeated bigint NOT NULL DEFAULT 0")
