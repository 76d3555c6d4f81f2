"""Why a definition was changed: who is called at night wants to know why an engine is paused."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE definition_version ADD reason text NOT NULL DEFAULT ''")
