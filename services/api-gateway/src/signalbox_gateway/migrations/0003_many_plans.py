"""What PostgreSQL expects of plans: many, whatever its sample of the tasks shows."""

from alembic import op

revision = "0003"
down_revision = "0002"

# A plan of 100,000 items fills the sample with one plan. From it PostgreSQL concludes that there are three, that each
# has a third of all tasks, and reads the whole table for every plan that ends. -0.01: one plan for a hundred rows.
TABLES = ("task", "plan_page")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN plan_id SET (n_distinct = -0.01)")
