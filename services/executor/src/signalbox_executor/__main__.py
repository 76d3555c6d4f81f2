import sys

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.persistence.retention import prune_command
from signalbox_executor.app import NAME, executor
from signalbox_executor.retention import executor_retention
from signalbox_executor.settings import ExecutorSettings

settings = ExecutorSettings.load()
if sys.argv[1:2] == ["admin"]:
    retention = executor_retention(Blobs(settings.blob_url) if settings.blob_url else None)
    sys.exit(prune_command(sys.argv[2:], NAME, "signalbox_executor", settings, retention))
executor(settings).run()
