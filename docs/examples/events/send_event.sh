#!/bin/sh
# Write one CloudEvent to Kafka in binary mode with kcat. The key is the source, so events of one source stay in order.
#
#   KAFKA=127.0.0.1:9092 sh send_event.sh lake file.created '{"path": "/in/a"}' [ID]
#
# TOPIC is signalbox.triggers.v1, or signalbox.triggers.v1.<source> for a source with a topic of its own.
set -eu
printf '%s' "$3" | kcat -P -b "$KAFKA" -t "${TOPIC:-signalbox.triggers.v1}" -k "$1" \
    -H "content-type=application/json" -H "ce_specversion=1.0" -H "ce_type=$2" -H "ce_source=$1" \
    -H "ce_id=${4:-$(date +%s%N)}"
