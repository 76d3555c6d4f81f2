#!/usr/bin/env bash
# run_initial_load.sh: ingestion, processing and loader once, over the whole window, in MODE=initial_load.
#
# Signalbox runs the three steps in this order; a failed one stops what follows, and this ends with 1.
#   EVENT_DATE              the last day of the window (yesterday, UTC)
#   PROCESSING_WINDOW_DAYS  its days (7)
#   PIPELINE, WAIT_SECONDS  the pipeline (recommendations), and how long to wait for its end (7200)
set -euo pipefail

EVENT_DATE=${EVENT_DATE:-$(date -u -d yesterday +%F)}
PROCESSING_WINDOW_DAYS=${PROCESSING_WINDOW_DAYS:-7}
began=$(date -u +%s)
log() { echo "$(date -u +%FT%TZ) initial_load $EVENT_DATE: $*"; }

log "start, window of $PROCESSING_WINDOW_DAYS days"
code=0
signalbox pipeline run "${PIPELINE:-recommendations}" -p mode=initial_load -p "processing_window_days=$PROCESSING_WINDOW_DAYS" \
  --date "$EVENT_DATE" --reason "initial load" --wait --timeout "${WAIT_SECONDS:-7200}" || code=$?
if [ "$code" -ne 0 ]; then
  log "failed with exit code $code after $(($(date -u +%s) - began)) s"
  exit 1
fi
log "end, duration $(($(date -u +%s) - began)) s"
