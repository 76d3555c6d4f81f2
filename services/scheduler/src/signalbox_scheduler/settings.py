"""Settings of the scheduler."""

from pydantic import Field

from signalbox_chassis.settings import ServiceSettings


class SchedulerSettings(ServiceSettings):
    tick_poll_seconds: float = Field(default=0.25, ge=0.05, le=60)
    """How often the scheduler looks for due schedules; it is also woken at the next due instant."""
    tick_batch: int = Field(default=500, ge=1, le=2000)
    """Maximum number of due schedules handled in one transaction."""
    tick_keep_days: int = Field(default=30, ge=1, le=3660)
    """Days a tick is kept after its due instant, so that "why did it not run" has an answer."""
