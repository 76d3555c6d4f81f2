import sys

from signalbox_gateway import admin

if sys.argv[1:2] == ["admin"]:
    sys.exit(admin.main(sys.argv[2:]))

# only here: a command of `admin` needs no routes, and they take longer to load than it takes to run
from signalbox_gateway.app import gateway
from signalbox_gateway.settings import GatewaySettings

gateway(GatewaySettings.load()).run()
