"""Workflows: jobs that run Airflow DAGs and their plans, in the words of the workflows API. No second model."""
