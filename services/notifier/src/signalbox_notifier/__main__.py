from signalbox_notifier.app import notifier
from signalbox_notifier.settings import NotifierSettings

notifier(NotifierSettings.load()).run()
