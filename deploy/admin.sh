#!/usr/bin/env bash
# admin.sh WORDS: `python -m signalbox_gateway admin WORDS` with the settings of this host, such as `admin.sh create ann`.
set -euo pipefail
[ -f /etc/signalbox/signalbox.env ] || { echo "admin.sh: Signalbox is not installed here: deploy/install.sh" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "admin.sh: run it as root" >&2; exit 1; }
# shellcheck source=deploy/release.sh
. "$(dirname "$0")/release.sh"
export_settings "$etc/signalbox.env"
export_settings "$etc/api-gateway.env"
export SIGNALBOX_DATABASE_URL_FILE=/etc/signalbox/secrets/api_gateway_database_url
export SIGNALBOX_SECRETS_URL_FILE=$SIGNALBOX_DATABASE_URL_FILE SIGNALBOX_SECRET_KEY_FILE=/etc/signalbox/secrets/secret_key
exec /opt/signalbox/current/bin/python -m signalbox_gateway admin "$@"
