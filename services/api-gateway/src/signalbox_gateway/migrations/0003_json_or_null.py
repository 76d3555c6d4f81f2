"""A function for queries over the bodies of definitions: one that is no JSON must not fail the others.

`body IS JSON` would need PostgreSQL 16. Not PARALLEL SAFE: before PostgreSQL 17 a worker cannot begin the
subtransaction of an EXCEPTION block.
"""

from signalbox_chassis.persistence.sql_script import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_script("""
CREATE FUNCTION json_or_null(body text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN body::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
""")
