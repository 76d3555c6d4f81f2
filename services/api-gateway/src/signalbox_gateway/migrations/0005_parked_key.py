"""Parked messages are found by their key: what was parked of a plan is a reason why it does not move."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("CREATE INDEX parked_key ON parked ((record::jsonb ->> 'key')) WHERE state <> 'DROPPED'")
