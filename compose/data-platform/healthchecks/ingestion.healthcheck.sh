#!/usr/bin/env bash
# exit 0: the Spark driver is alive or ended well; exit 1: it was never started, died or failed.
folder=${RUN_FOLDER:-/tmp/data-platform}
if [ -f "$folder/ingestion.exit" ]; then
  [ "$(cat "$folder/ingestion.exit")" = 0 ] || exit 1
  exit 0
fi
[ -f "$folder/ingestion.pid" ] && kill -0 "$(cat "$folder/ingestion.pid")" 2>/dev/null || exit 1
