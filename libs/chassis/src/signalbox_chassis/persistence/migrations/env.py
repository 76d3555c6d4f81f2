"""alembic's entry: run the revisions on the connection `migrate` brought, in the schema it named."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table="schema_version",
    version_table_schema=attributes["schema"],
    transactional_ddl=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
