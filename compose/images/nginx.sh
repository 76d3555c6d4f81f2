#!/bin/sh
# Start nginx with what is known only here: the gateway, the name servers, and the proxies in front.
#
#   SIGNALBOX_GATEWAY          host and port of the API (api-gateway:8000)
#   SIGNALBOX_GATEWAY_LOOKUP   `start`: its name is looked up once, as the system does (search domains, hosts file)
#   SIGNALBOX_TRUSTED_PROXIES  addresses and networks of proxies in front, separated by commas
set -eu
cd "$(dirname "$0")"
here=${SIGNALBOX_NGINX_FOLDER:-/tmp}
gateway=${SIGNALBOX_GATEWAY:-api-gateway:8000}
{
  if [ "${SIGNALBOX_GATEWAY_LOOKUP:-}" = start ]; then
    echo "upstream found_at_start { server $gateway; }"
    gateway=found_at_start
  else # a gateway that is made again has another address
    names=$(awk '/^nameserver/ { print ($2 ~ /:/) ? "[" $2 "]" : $2 }' /etc/resolv.conf | tr '\n' ' ')
    [ -z "$names" ] || echo "resolver $names valid=5s;"
  fi
  echo "map '' \$gateway { default 'http://$gateway'; }"
  for proxy in $(echo "${SIGNALBOX_TRUSTED_PROXIES:-}" | tr , ' '); do echo "set_real_ip_from $proxy;"; done
} > "$here/here.conf"
cp nginx.conf "$here/" # what it includes is looked for beside it
exec nginx -e stderr -p "$here" -c "$here/nginx.conf" -g 'daemon off;'
