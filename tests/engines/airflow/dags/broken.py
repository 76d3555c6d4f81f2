"""A file Airflow cannot read: its error is shown."""

from airflow.sdk import dag, no_such_name  # noqa: F401  # pyright: ignore
