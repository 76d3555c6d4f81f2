"""Endless work between a setup and a teardown: how a stop leaves what cleans up to end."""

import os
import time
from pathlib import Path

from airflow.sdk import dag, get_current_context, setup, task, teardown

STAMPS = Path(os.environ["SIGNALBOX_TEST_STAMPS"])


@setup
def acquire() -> None:
    print("acquired")


@task
def work() -> None:
    context = get_current_context()
    (STAMPS / f"{context['dag_run'].run_id}.works").touch()
    while True:
        time.sleep(0.1)


@teardown
def release() -> None:
    context = get_current_context()
    (STAMPS / f"{context['dag_run'].run_id}.released").touch()


@dag(dag_id="cleanup", schedule=None, catchup=False)
def cleanup() -> None:
    acquired, released = acquire(), release()
    acquired >> work() >> released
    acquired >> released


cleanup()
