"""Previews: what plans ask to be looked up, what was found and decided, and which objects live plans occupy."""

from alembic import op

from signalbox_chassis.persistence.sql_script import run_script

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE plan_selection (
    plan_id      uuid NOT NULL,
    part         smallint NOT NULL,
    engine       text NOT NULL,
    selection    text NOT NULL,
    selection_id uuid NOT NULL,
    round        integer NOT NULL,
    pages        integer,
    error        text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (plan_id, part)
);
CREATE UNIQUE INDEX plan_selection_id ON plan_selection (selection_id);

CREATE TABLE resolved_page (
    plan_id      uuid NOT NULL,
    selection_id uuid NOT NULL,
    page         integer NOT NULL,
    items        text NOT NULL,
    PRIMARY KEY (selection_id, page)
);
CREATE INDEX resolved_page_plan ON resolved_page (plan_id);

CREATE TABLE decided_item (
    plan_id  uuid NOT NULL,
    position integer NOT NULL,
    body     text NOT NULL,
    PRIMARY KEY (plan_id, position)
);

CREATE TABLE occupied_object (
    engine  text NOT NULL,
    object  text NOT NULL,
    plan_id uuid NOT NULL,
    PRIMARY KEY (engine, object)
);
CREATE INDEX occupied_object_plan ON occupied_object (plan_id);
"""


def upgrade() -> None:
    run_script(TABLES)


def downgrade() -> None:
    for table in ("occupied_object", "decided_item", "resolved_page", "plan_selection"):
        op.execute(f"DROP TABLE {table}")
