"""When a delivery is tried again. Pure."""

from dataclasses import dataclass
from typing import Final

SCHEDULE_SECONDS: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Standard Webhooks 1.0: after the first try, these waits; then the delivery is dead."""
MAX_RETRY_AFTER_SECONDS: Final = 86_400.0


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


@dataclass(frozen=True, slots=True)
class Gone:
    """The channel will never take it. With `disable`, it takes nothing any more."""

    answer: str
    disable: bool = False


Result = Sent | Failed | Gone


def retry_in_seconds(attempts: int, result: Failed, random_: float) -> float | None:
    """Seconds until the next try after so many; None when the delivery is dead. The channel's own word counts."""
    if attempts > len(SCHEDULE_SECONDS):
        return None
    wait = SCHEDULE_SECONDS[attempts - 1] * (0.9 + 0.2 * random_)
    if result.retry_after_seconds is not None:
        wait = max(wait if attempts > 1 else 0.0, min(result.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
    return wait
