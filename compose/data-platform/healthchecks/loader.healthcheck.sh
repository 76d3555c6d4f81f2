#!/usr/bin/env bash
# exit 0: the Python process is alive or ended well; exit 1: it was never started, died or failed.
folder=${RUN_FOLDER:-/tmp/data-platform}
if [ -f "$folder/loader.exit" ]; then
  [ "$(cat "$folder/loader.exit")" = 0 ] || exit 1
  exit 0
fi
[ -f "$folder/loader.pid" ] && kill -0 "$(cat "$folder/loader.pid")" 2>/dev/null || exit 1
