#!/usr/bin/env bash
# exit 0: the NameNode knows a live DataNode (MIN_LIVE_DATANODES of them); exit 1: it does not, or does not answer.
page=$(curl -f -s --max-time 4 "${NAMENODE_URL:-http://namenode:9870}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState") || exit 1
live=$(printf '%s' "$page" | sed -n 's/.*"NumLiveDataNodes"[[:space:]]*:[[:space:]]*\([0-9][0-9]*\).*/\1/p' | head -1)
[ "${live:-0}" -ge "${MIN_LIVE_DATANODES:-1}" ] || exit 1
