"""Settings of the planner."""

from signalbox_chassis.settings import ServiceSettings


class PlannerSettings(ServiceSettings):
    pass
