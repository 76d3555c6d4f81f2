"""Apache Airflow as an engine: DAG runs of a deployment, by its REST API (`/api/v2` of 3.x, `/api/v1` of 2.x)."""
