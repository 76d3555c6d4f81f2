"""The mark of the database; the moves of tasks that were said, to be told again; telling every task there is."""

from alembic import op

from signalbox_chassis.persistence.tables import RESTORE_MARK_V1

revision = "0004"
down_revision = "0003"

TABLES = """
ALTER TABLE task ADD history jsonb NOT NULL DEFAULT '[]';
ALTER TABLE operation ADD after_plan uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
"""
# `moves` are those since the last fact. When a fact has said them and others take their place, they are history: most
# tasks are said once, with their end, and never come here. As many as a fact may carry.
KEEP = """
CREATE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.history := OLD.history || OLD.moves;
    WHILE jsonb_array_length(NEW.history) > 200 LOOP
        NEW.history := NEW.history - 0;
    END LOOP;
    RETURN NEW;
END $$
"""
TRIGGER = """
CREATE TRIGGER keep_history BEFORE UPDATE ON task FOR EACH ROW
WHEN (OLD.said AND OLD.moves <> '[]' AND OLD.moves <> NEW.moves) EXECUTE FUNCTION keep_history()
"""


def upgrade() -> None:
    for statement in (RESTORE_MARK_V1 + TABLES).split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(KEEP)
    op.execute(TRIGGER)
