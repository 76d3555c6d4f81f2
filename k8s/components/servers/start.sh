#!/bin/bash
# Format the data folder the first time, then become the broker. The paths are those of the image apache/kafka.
set -eu
properties=/tmp/server.properties
sed "s/@host@/${KAFKA_HOST:-kafka}/" /etc/signalbox-kafka/server.properties > "$properties"
if [ "${KAFKA_SECURE:-no}" = yes ]; then
  umask 077
  while IFS= read -r line; do
    printf '%s\n' "${line//@password@/$(cat /run/secrets/kafka_admin_password)}"
  done < /etc/signalbox-kafka/secure.properties >> "$properties"
fi
export LOG_DIR=/tmp/logs KAFKA_HEAP_OPTS="${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m}"
if [ ! -f /var/lib/kafka/data/meta.properties ]; then
  /opt/kafka/bin/kafka-storage.sh format --cluster-id "${KAFKA_CLUSTER_ID:-c2lnbmFsYm94LWthZmthMQ}" --config "$properties"
fi
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
