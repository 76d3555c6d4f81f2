from example_service.app import example_service
from signalbox_chassis.settings import ServiceSettings

example_service(ServiceSettings.load()).run()
