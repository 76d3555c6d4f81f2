from signalbox_reprocessor.app import reprocessor
from signalbox_reprocessor.settings import ReprocessorSettings

reprocessor(ReprocessorSettings.load()).run()
