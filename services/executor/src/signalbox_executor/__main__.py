import sys

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.persistence.retention import prune_command
from signalbox_executor.app import NAME, executor
from signalbox_executor.engines.process.containment import hide_memory
from signalbox_executor.retention import executor_retention
from signalbox_executor.settings import ExecutorSettings

hide_memory()  # runs may have our user: they read no key of ours
settings = ExecutorSettings.load()
if sys.argv[1:2] == ["admin"]:
    retention = executor_retention(Blobs(settings.blob_url) if settings.blob_url else None)
    sys.exit(prune_command(sys.argv[2:], NAME, "signalbox_executor", settings, retention))
executor(settings).run()
