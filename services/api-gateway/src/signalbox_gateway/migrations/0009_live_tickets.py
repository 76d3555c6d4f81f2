"""Tickets of the live feed: used once, within seconds."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE live_ticket (
            hash       bytea PRIMARY KEY,
            origin     text NOT NULL,
            credential bytea NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
