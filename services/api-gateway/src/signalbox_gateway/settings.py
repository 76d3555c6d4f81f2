"""Settings of the api-gateway."""

from signalbox_chassis.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    pass
