import sys

from signalbox_chassis.persistence.retention import prune_command
from signalbox_reprocessor.app import NAME, RETENTION, reprocessor
from signalbox_reprocessor.settings import ReprocessorSettings

settings = ReprocessorSettings.load()
if sys.argv[1:2] == ["admin"]:
    sys.exit(prune_command(sys.argv[2:], NAME, "signalbox_reprocessor", settings, RETENTION))
reprocessor(settings).run()
