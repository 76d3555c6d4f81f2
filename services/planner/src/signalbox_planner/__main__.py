from signalbox_planner.app import planner
from signalbox_planner.settings import PlannerSettings

planner(PlannerSettings.load()).run()
