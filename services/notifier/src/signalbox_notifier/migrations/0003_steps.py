"""Which parts of a task's run were told of: the tasks of an Airflow DAG."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
CREATE TABLE task_step (
    task_id  uuid PRIMARY KEY,
    plan_id  uuid NOT NULL,
    attempt  integer NOT NULL,
    sequence bigint NOT NULL,
    steps    text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX task_step_by_plan ON task_step (plan_id)
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
