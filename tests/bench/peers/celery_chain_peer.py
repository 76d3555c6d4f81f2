"""Celery canvas on Redis: `python celery_chain_peer.py N`: a chain of N trivial tasks, from its start to its result."""

import json
import sys
import time

from celery import chain
from celery_peer import trivial, warm_worker


def main(count: int) -> None:
    with warm_worker():
        began = time.perf_counter()
        answer = chain(trivial.s(0), *(trivial.s() for _ in range(count - 1)))().get(timeout=300)
        seconds = time.perf_counter() - began
        if answer != count:
            sys.exit(f"celery counted to {answer}")
        print(json.dumps({"peer": "celery chain, redis, prefork 2", "tasks": count, "seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
