#!/bin/bash
case "$(basename "$0")" in
  kafka-storage.sh) main=kafka.tools.StorageTool ;;
  kafka-server-start.sh) main=kafka.Kafka ;;
  kafka-configs.sh) main=org.apache.kafka.tools.ConfigCommand ;;
  kafka-acls.sh) main=org.apache.kafka.tools.AclCommand ;;
esac
export MALLOC_ARENA_MAX=2
# shellcheck disable=SC2086
exec /opt/java/bin/java ${KAFKA_HEAP_OPTS:--Xmx256m} ${KAFKA_OPTS:-} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k \
  -Djava.awt.headless=true -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*' "$main" "$@"
