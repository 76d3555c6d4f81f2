from signalbox_scheduler.app import scheduler
from signalbox_scheduler.settings import SchedulerSettings

scheduler(SchedulerSettings.load()).run()
