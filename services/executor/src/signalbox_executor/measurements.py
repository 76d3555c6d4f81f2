"""What the executor measures beside the chassis: how long tasks wait and run, requests to engines, lost leases.

Never by task, run or user: those are too many. Labels are engines, operations and outcomes.
"""

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Histogram

from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable
from signalbox_executor.store.rows import Task

_SECONDS: Final = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_REQUESTS: Final = Counter(
    "signalbox_engine_requests_total", "Requests to engines by operation and what came of them",
    ["engine", "operation", "outcome"],
)  # fmt: skip
_WAIT: Final = Histogram(
    "signalbox_run_wait_seconds", "From the time a task may start to its claim", ["engine"], buckets=_SECONDS
)
_ATTEMPT: Final = Histogram(
    "signalbox_attempt_seconds", "How long attempts were submitted, and from then on until their end was seen",
    ["engine", "phase"], buckets=_SECONDS,
)  # fmt: skip
LEASES_LOST: Final = Counter("signalbox_lease_lost_total", "Times this worker was taken for dead and began again")


@contextmanager
def engine_request(engine_id: str, operation: str) -> Generator[None]:
    """Count a request to an engine, whatever comes of it."""
    began, outcome = time.monotonic(), "error"
    try:
        yield
        outcome = "ok"
        if operation == "submit":
            _ATTEMPT.labels(engine_id, "submit").observe(time.monotonic() - began)
    except EngineRefused:
        outcome = "refused"
        raise
    except EngineThrottled:
        outcome = "throttled"
        raise
    except (EngineUnavailable, TimeoutError):
        outcome = "unavailable"
        raise
    finally:
        _REQUESTS.labels(engine_id, operation, outcome).inc()


def claimed(tasks: Iterable[Task]) -> None:
    """Measure how long these tasks waited; both instants are the database's."""
    for task in tasks:
        waited = task.state_at - max(task.queued_at, task.not_before)
        _WAIT.labels(task.engine_id).observe(max(0.0, waited.total_seconds()))


def ended(tasks: Iterable[Task]) -> None:
    """Measure how long the attempts of these tasks took that have just ended, by the database's clock."""
    for task in tasks:
        if task.submitted_at is not None:
            took = task.state_at - task.submitted_at
            _ATTEMPT.labels(task.engine_id, "run").observe(max(0.0, took.total_seconds()))
