#!/usr/bin/env bash
# exit 0: the NameNode's page answers; exit 1: it does not.
curl -f -s -o /dev/null --max-time 4 "${NAMENODE_URL:-http://namenode:9870}" || exit 1
