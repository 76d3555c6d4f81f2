"""Operations that change a run's note or pause a DAG."""

from signalbox_chassis.persistence.sql_script import run_script

revision = "0004"
down_revision = "0003"

TABLES = """
ALTER TABLE operation DROP CONSTRAINT operation_kind_check;
ALTER TABLE operation ADD CONSTRAINT operation_kind_check CHECK (kind IN (
    'engine.test', 'plan.republish', 'artifact.check', 'task.savepoint', 'task.annotate', 'dag.pause'));
"""


def upgrade() -> None:
    run_script(TABLES)
