"""A DAG that is paused when it is first seen: its runs stay queued."""

from airflow.sdk import dag, task


@task
def work() -> None:
    print("works")


@dag(dag_id="held", schedule=None, catchup=False, is_paused_upon_creation=True)
def held() -> None:
    work()


held()
