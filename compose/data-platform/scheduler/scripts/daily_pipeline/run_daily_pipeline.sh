#!/usr/bin/env bash
# run_daily_pipeline.sh: ingestion, processing and loader for one day, in MODE=incremental.
#
# Signalbox runs the three steps in this order. When one fails, what failed and what follows runs again, RETRIES times.
#   EVENT_DATE              the day (yesterday, UTC)
#   PROCESSING_WINDOW_DAYS  days that processing looks back (7)
#   RETRIES, RETRY_SECONDS  more tries (2), and the time between them (60)
#   PIPELINE, WAIT_SECONDS  the pipeline (recommendations), and how long to wait for the end of a try (7200)
set -euo pipefail

EVENT_DATE=${EVENT_DATE:-$(date -u -d yesterday +%F)}
PROCESSING_WINDOW_DAYS=${PROCESSING_WINDOW_DAYS:-7}
RETRIES=${RETRIES:-2}
WAIT_SECONDS=${WAIT_SECONDS:-7200}
began=$(date -u +%s)
log() { echo "$(date -u +%FT%TZ) daily $EVENT_DATE: $*"; }

failed() { # MESSAGE
  log "failed after $(($(date -u +%s) - began)) s: $*"
  exit 1
}

# not `run --wait`: a plan that is watched again, or run again, is needed by its id, also when the wait was cut short
log "start, window of $PROCESSING_WINDOW_DAYS days"
plan=$(signalbox pipeline run "${PIPELINE:-recommendations}" -p mode=incremental -p "processing_window_days=$PROCESSING_WINDOW_DAYS" \
  --date "$EVENT_DATE" --reason "daily load" -o name) || failed "the pipeline was not started"
try=0
until code=0; signalbox plan watch "$plan" --timeout "$WAIT_SECONDS" || code=$?; [ "$code" -eq 0 ]; do
  [ "$try" -lt "$RETRIES" ] || failed "$((try + 1)) tries: signalbox plan timeline $plan"
  try=$((try + 1))
  log "plan $plan did not succeed; try $((try + 1)) of $((RETRIES + 1)) in ${RETRY_SECONDS:-60} s"
  sleep "${RETRY_SECONDS:-60}"
  # 1: it failed. Anything else is the API's silence or the end of the wait, and the plan goes on: it is watched again
  if [ "$code" -eq 1 ]; then
    plan=$(signalbox plan rerun "$plan" --reason "daily load, try $((try + 1))" -o name) || failed "plan $plan was not run again"
  fi
done
log "end, duration $(($(date -u +%s) - began)) s"
