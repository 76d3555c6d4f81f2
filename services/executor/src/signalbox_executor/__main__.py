from signalbox_executor.app import executor
from signalbox_executor.settings import ExecutorSettings

executor(ExecutorSettings.load()).run()
