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

log "start, window of $PROCESSING_WINDOW_DAYS days"
plan=$(signalbox pipeline run "${PIPELINE:-recommendations}" -p mode=incremental -p "processing_window_days=$PROCESSING_WINDOW_DAYS" \
  --date "$EVENT_DATE" --reason "daily load" -o name)
try=0
until signalbox plan watch "$plan" --timeout "$WAIT_SECONDS"; do
  if [ "$try" -ge "$RETRIES" ]; then
    log "failed after $((try + 1)) tries and $(($(date -u +%s) - began)) s: signalbox plan timeline $plan"
    exit 1
  fi
  try=$((try + 1))
  log "plan $plan did not succeed; try $((try + 1)) of $((RETRIES + 1)) in ${RETRY_SECONDS:-60} s"
  sleep "${RETRY_SECONDS:-60}"
  plan=$(signalbox plan rerun "$plan" --reason "daily load, try $((try + 1))" -o name)
done
log "end, duration $(($(date -u +%s) - began)) s"
