"""Settings of the planner."""

from pydantic import Field

from signalbox_chassis.settings import ServiceSettings


class PlannerSettings(ServiceSettings):
    send_window: int = Field(default=1000, ge=1, le=20_000)
    """How many live tasks of one plan the executors may have; a plan with a wide limit gets twice its limit."""
    reconcile_seconds: float = Field(default=60.0, ge=0.1, le=86_400)
    """After how long without a fact the tasks of a plan are queried; doubled with each query in a row."""
    max_reconcile_seconds: float = Field(default=600.0, ge=0.1, le=86_400)
    """The longest time between two queries of the same plan."""
    step_items: int = Field(default=5000, ge=200, le=50_000)
    """How many items one transaction may cancel or copy."""
