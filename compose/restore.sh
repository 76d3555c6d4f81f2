#!/usr/bin/env bash
# restore.sh FOLDER --yes: put the backup in FOLDER in the place of the database and the files of this stack.
#
# Also on an empty machine, with the same compose/secrets. Kafka keeps what it has; the services find out that their
# database was restored and heal (docs/runbooks/restored-database.md).
#   COMPOSE_PROJECT_NAME  the project, when it is not `signalbox`
#   COMPOSE_FILE          the files of the stack, when secure.yaml or one of your own belongs to it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=${COMPOSE_PROJECT_NAME:-signalbox}
[ "$#" -ge 1 ] || { echo "usage: restore.sh FOLDER --yes" >&2; exit 2; }
folder=$1
for file in database.dump files.tar.gz; do
  [ -s "$folder/$file" ] || { echo "restore.sh: $folder/$file is missing or empty: name a folder that backup.sh wrote" >&2; exit 1; }
done
[ "$(head -c 5 "$folder/database.dump")" = PGDMP ] || { echo "restore.sh: $folder/database.dump is no dump of PostgreSQL" >&2; exit 1; }
gzip -qt "$folder/files.tar.gz" 2>/dev/null || { echo "restore.sh: $folder/files.tar.gz is damaged" >&2; exit 1; }
[ "${2:-}" = --yes ] || { echo "restore.sh: this replaces the database and the files of project $project; say --yes" >&2; exit 2; }
docker compose version >/dev/null 2>&1 || { echo "restore.sh: there is no docker compose 2: install docker-compose-plugin" >&2; exit 1; }
export COMPOSE_FILE=${COMPOSE_FILE:-$here/compose.yaml}
compose() { docker compose -p "$project" "$@"; }
services="planner executor scheduler notifier reprocessor api-gateway"
sql() { compose exec -T postgres sh -c 'PGPASSWORD="$(cat $POSTGRES_PASSWORD_FILE)" exec '"$1" sh "${@:2}"; }

# shellcheck disable=SC2086
compose stop $services
compose up -d --wait postgres kafka redis
sql 'pg_restore --list' < "$folder/database.dump" > /dev/null || { echo "restore.sh: PostgreSQL cannot read $folder/database.dump: the data was not changed; docker compose up -d starts the services again" >&2; exit 1; }
empty='psql -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -U signalbox -d postgres -c "DROP DATABASE IF EXISTS signalbox WITH (FORCE)" -c "CREATE DATABASE signalbox"'
sql "$empty" # first: provision refuses the schemas of a newer version, and a backup is how one goes back
compose run --rm -T provision # the roles, which a dump does not hold
sql "$empty"
sql 'pg_restore -h 127.0.0.1 -U signalbox -d signalbox --exit-on-error' < "$folder/database.dump"
image=$(compose config --format json | sed -n 's/^ *"image": "\(.*\/executor:.*\)",*$/\1/p' | head -1)
docker run --rm -i --user 0 --network none --entrypoint tar \
  -v "${project}_blobs:/data/blobs" -v "${project}_process:/data/process" -v "${project}_work:/data/work" \
  "$image" -C /data -xzf - < "$folder/files.tar.gz"
compose up -d --wait
