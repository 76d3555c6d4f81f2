"""Celery canvas on Redis: `python celery_chain_peer.py N`: a chain of N trivial tasks, from its start to its result."""

import json
import subprocess
import sys
import time
from pathlib import Path

from celery import chain
from celery_peer import trivial


def main(count: int) -> None:
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
        began = time.perf_counter()
        answer = chain(trivial.s(0), *(trivial.s() for _ in range(count - 1)))().get(timeout=300)
        seconds = time.perf_counter() - began
        if answer != count:
            sys.exit(f"celery counted to {answer}")
        print(json.dumps({"peer": "celery chain, redis, prefork 2", "tasks": count, "seconds": round(seconds, 3)}))
    finally:
        worker.terminate()
        worker.wait(20)


if __name__ == "__main__":
    main(int(sys.argv[1]))
