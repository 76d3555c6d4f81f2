#!/usr/bin/env bash
# check.sh: what this host lacks for `docker compose up`, a line each; nothing is changed. Exits 0 when it has all.
set -euo pipefail
cd "$(dirname "$0")"

setting() { # NAME DEFAULT: as compose reads it, from the environment or from .env
  local value=${!1:-}
  [ -n "$value" ] || value=$(sed -n "s/^$1=//p" .env 2>/dev/null | tail -1)
  echo "${value:-$2}"
}

problems() {
  local folder port name
  if ! command -v docker >/dev/null; then
    echo "there is no docker: install Docker 20.10 or newer"
  elif ! docker version >/dev/null 2>&1; then
    echo "no Docker engine answers: start it, or see docker context ls"
  elif ! docker compose version >/dev/null 2>&1; then
    echo "docker has no compose: install its plugin"
  fi
  folder=$(setting SIGNALBOX_SECRETS "")
  if [ -z "$folder" ]; then
    echo "there are no secrets yet: run compose/make-secrets.sh"
  else
    while read -r name; do
      [ -s "$folder/$name" ] || echo "the secret $folder/$name is missing or empty: run compose/make-secrets.sh"
    done < <(sed -n 's#.*SIGNALBOX_SECRETS:?[^}]*}/\([a-z_]*\)".*#\1#p' compose.yaml)
  fi
  port=$(setting SIGNALBOX_PORT 8000)
  # the port is ours while the stack runs
  if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null && [ -z "$(docker compose ps -q 2>/dev/null)" ]; then
    echo "port $port is in use: set another SIGNALBOX_PORT in compose/.env"
  fi
}

found=$(problems)
[ -n "$found" ] || exit 0
while read -r line; do echo "check.sh: $line" >&2; done <<< "$found"
exit 1
