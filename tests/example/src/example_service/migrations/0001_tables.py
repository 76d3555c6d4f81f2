"""The chassis tables and the example's own."""

from signalbox_chassis.persistence.sql_script import run_script
from signalbox_chassis.persistence.tables import TABLES_V1

revision = "0001"
down_revision = None

# `entry` has no unique key on purpose: an effect applied twice must be visible.
TABLES = """
CREATE TABLE counter (id text PRIMARY KEY, total bigint NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 0,
                      restate boolean NOT NULL DEFAULT false);
CREATE TABLE entry (position bigint GENERATED ALWAYS AS IDENTITY, counter text NOT NULL, number bigint NOT NULL);
CREATE TABLE mirror (id text PRIMARY KEY, total bigint NOT NULL, version bigint NOT NULL);
CREATE TABLE definition (kind text, id text, revision bigint NOT NULL, PRIMARY KEY (kind, id));
"""


def upgrade() -> None:
    run_script(TABLES_V1 + TABLES)
