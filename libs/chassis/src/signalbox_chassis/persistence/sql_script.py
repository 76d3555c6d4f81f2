"""SQL scripts of migrations."""

from typing import Any

from alembic import op


def run_script(script: str) -> None:
    """Execute all statements of a script in the migration under way, as they are written and in one round trip.

    Where alembic writes SQL instead of executing it, the script is written. Raises asyncpg's own errors.
    """
    migration = op.get_context()
    if migration.as_sql:
        migration.impl.static_output(script)
        return

    def execute(driver: Any) -> Any:
        return driver.execute(script)

    connection: Any = op.get_bind().connection.dbapi_connection
    connection.run_async(execute)
