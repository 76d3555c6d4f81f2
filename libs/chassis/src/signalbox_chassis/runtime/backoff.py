"""The one rule for waiting between tries."""

import random
from collections.abc import Callable


def backoff(
    failures: int, *, first_seconds: float, max_seconds: float, random_: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after this many failures in a row: exponential with full jitter, from 0 to `max_seconds`."""
    return random_() * min(max_seconds, first_seconds * 2 ** min(failures, 30))
