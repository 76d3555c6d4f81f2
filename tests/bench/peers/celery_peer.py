"""Celery on Redis: `python celery_peer.py N URL`: N trivial tasks from first `delay` to last result, as JSON.

Tuned as its documentation says for short tasks: results in Redis, two prefork processes on two cores, a prefetch of
16, late acknowledgement so that a killed worker loses nothing, no gossip.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

URL = os.environ.get("PEER_REDIS", "redis://127.0.0.1:6379/0")
app = Celery("celery_peer", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=16,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)


@app.task
def trivial(number: int) -> int:
    return number + 1


@contextmanager
def warm_worker() -> Iterator[None]:
    """A worker that has run fifty tasks, ended afterwards."""
    command = [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "-P", "prefork", "-c", "2", "-l", "error"]
    worker = subprocess.Popen(
        [*command, "--without-gossip", "--without-mingle"],
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for warm in range(50):
            trivial.delay(warm).get(timeout=60)
        yield
    finally:
        worker.terminate()
        worker.wait(20)


def main(count: int) -> None:
    with warm_worker():
        began = time.perf_counter()
        requested = [trivial.delay(number) for number in range(count)]
        answers = [result.get(timeout=300) for result in requested]
        seconds = time.perf_counter() - began
        if answers != list(range(1, count + 1)):
            sys.exit("celery lost or mixed up results")
        print(json.dumps({"peer": "celery, redis, prefork 2", "tasks": count, "seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
