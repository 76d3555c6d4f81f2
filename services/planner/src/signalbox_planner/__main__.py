import sys

from signalbox_chassis.persistence.retention import prune_command
from signalbox_planner.app import NAME, RETENTION, planner
from signalbox_planner.settings import PlannerSettings

settings = PlannerSettings.load()
if sys.argv[1:2] == ["admin"]:
    sys.exit(prune_command(sys.argv[2:], NAME, "signalbox_planner", settings, RETENTION))
planner(settings).run()
