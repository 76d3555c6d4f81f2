"""An index for lists and counts of plans by their end.

Without CONCURRENTLY, so that all revisions stay one transaction. Writes to `plan` wait while the index is built;
their messages stay on the broker. Reads go on.
"""

from signalbox_chassis.persistence.sql_script import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_script("CREATE INDEX plan_ended ON plan (ended_at DESC, id DESC) INCLUDE (state) WHERE ended_at IS NOT NULL;")
