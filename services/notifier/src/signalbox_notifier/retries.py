"""When a delivery is tried again. Pure."""

from dataclasses import dataclass
from typing import Final

SCHEDULE_SECONDS: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Standard Webhooks 1.0: after the first try, these waits; then the delivery is dead."""
MAX_RETRY_AFTER_SECONDS: Final = 86_400.0
MAX_THROTTLED: Final = 500
"""Tries of one delivery that may be answered with 429 before they count as failures."""
THROTTLED_SECONDS: Final = 30.0
"""The pause after a 429 that names none."""
FALLBACK_AFTER_FAILURES: Final = 3
"""The fallback channel gets a message after so many failed tries (about five minutes), or when it is given up."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The channel took it. `message_ref` names the message, where the channel can edit it."""

    answer: str = ""
    message_ref: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The channel did not take it, and may later."""

    answer: str
    retry_after_seconds: float | None = None
    throttled: bool = False
    """The channel asks for a pause (429): everything for it waits, and the try does not count against the schedule."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The channel will never take it. With `disable`, it takes nothing any more."""

    answer: str
    disable: bool = False


Result = Sent | Failed | Gone


def is_pause(result: Result, throttled: int) -> bool:
    """Whether a try was only asked to wait, after so many that were."""
    return isinstance(result, Failed) and result.throttled and throttled < MAX_THROTTLED


def retry_in_seconds(attempts: int, result: Failed, random_: float, throttled: int = 0) -> float | None:
    """Seconds until the next try after so many; None when the delivery is dead. The channel's own word counts.

    `throttled` of the tries before this one were answered with 429.
    """
    if is_pause(result, throttled):
        pause = THROTTLED_SECONDS if result.retry_after_seconds is None else result.retry_after_seconds
        return max(1.0, min(pause, MAX_RETRY_AFTER_SECONDS))
    attempts -= throttled
    if attempts > len(SCHEDULE_SECONDS):
        return None
    wait = SCHEDULE_SECONDS[attempts - 1] * (0.9 + 0.2 * random_)
    if result.retry_after_seconds is not None:
        wait = max(wait if attempts > 1 else 0.0, min(result.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
    return wait
