#!/usr/bin/env bash
# run_job.sh NAME COMMAND...: run a job and leave its process id and its exit code where its health check looks.
set -u
name=$1
shift
folder=${RUN_FOLDER:-/tmp/data-platform}
mkdir -p "$folder"
rm -f "$folder/$name.exit"
"$@" &
pid=$!
echo "$pid" > "$folder/$name.pid"
trap 'kill -TERM "$pid" 2>/dev/null' TERM INT
wait "$pid"
code=$?
echo "$code" > "$folder/$name.exit"
exit "$code"
