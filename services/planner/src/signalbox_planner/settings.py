"""Settings of the planner."""

from pydantic import Field

from signalbox_chassis.settings import ServiceSettings


class PlannerSettings(ServiceSettings):
    send_window: int = Field(default=1000, ge=1, le=20_000)
    """Most unended tasks of one plan that are with the executors; a plan with a wide limit gets twice its limit."""
    ask_seconds: float = Field(default=60.0, ge=0.1, le=86_400)
    """How long a plan's tasks may be silent before the executors are asked; doubled each time they stay so."""
    ask_max_seconds: float = Field(default=600.0, ge=0.1, le=86_400)
    """Longest time between two such questions."""
    step_items: int = Field(default=5000, ge=200, le=50_000)
    """Most items one transaction cancels or copies."""
