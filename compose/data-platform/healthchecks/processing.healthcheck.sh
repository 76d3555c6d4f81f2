#!/usr/bin/env bash
# exit 0: the Spark driver is alive or ended well; exit 1: it was never started, died or failed.
folder=${RUN_FOLDER:-/tmp/data-platform}
if [ -f "$folder/processing.exit" ]; then
  [ "$(cat "$folder/processing.exit")" = 0 ] || exit 1
  exit 0
fi
[ -f "$folder/processing.pid" ] && kill -0 "$(cat "$folder/processing.pid")" 2>/dev/null || exit 1
