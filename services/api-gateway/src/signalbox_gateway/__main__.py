import sys

from signalbox_gateway import admin
from signalbox_gateway.app import gateway
from signalbox_gateway.settings import GatewaySettings

if sys.argv[1:2] == ["admin"]:
    sys.exit(admin.main(sys.argv[2:]))
gateway(GatewaySettings.load()).run()
