#!/usr/bin/env bash
# Build the image of the reprocessing worker, which Indexed Jobs on Kubernetes run. The settings are those of build.sh.
exec "$(dirname "$0")/build.sh" reprocessing-worker
