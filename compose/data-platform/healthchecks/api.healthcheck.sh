#!/usr/bin/env bash
# exit 0: the API says that it is healthy; exit 1: it does not.
if command -v curl >/dev/null; then
  curl -f -s -o /dev/null --max-time 4 "${API_URL:-http://localhost:8000}/health" || exit 1
else
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)' "${API_URL:-http://localhost:8000}/health" 2>/dev/null || exit 1
fi
