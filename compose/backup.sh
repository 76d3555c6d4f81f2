#!/usr/bin/env bash
# backup.sh FOLDER: write the database and the files of the running stack into FOLDER. The stack goes on working.
#
# What comes after the backup is found again from Kafka and the engines (docs/runbooks/restored-database.md). Keep
# compose/secrets as well, elsewhere: without secret_key the stored secrets cannot be read.
#   COMPOSE_PROJECT_NAME  the project, when it is not `signalbox`
#   COMPOSE_FILE          the files of the stack, when secure.yaml or one of your own belongs to it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=${COMPOSE_PROJECT_NAME:-signalbox}
[ "$#" -eq 1 ] || { echo "usage: backup.sh FOLDER" >&2; exit 2; }
folder=$1
umask 077
docker compose version >/dev/null 2>&1 || { echo "backup.sh: there is no docker compose 2: install docker-compose-plugin" >&2; exit 1; }
export COMPOSE_FILE=${COMPOSE_FILE:-$here/compose.yaml}
compose() { docker compose -p "$project" "$@"; }
[ -n "$(compose ps -q --status running postgres)" ] || { echo "backup.sh: postgres of project $project does not run: start the stack" >&2; exit 1; }
mkdir -p "$folder" 2>/dev/null || { echo "backup.sh: $folder cannot be made" >&2; exit 1; }

# files first: the database may then know of a log that is not among them, never the other way round
# shellcheck disable=SC2046
read -r image <<< "$(docker inspect --format '{{.Config.Image}}' $(compose ps -aq executor))"
docker run --rm --user 0 --network none --entrypoint tar \
  -v "${project}_blobs:/data/blobs:ro" -v "${project}_process:/data/process:ro" -v "${project}_work:/data/work:ro" \
  "$image" -C /data -czf - . > "$folder/files.tar.gz.new" || [ $? -eq 1 ] # 1: a file was written to or deleted meanwhile
compose exec -T postgres sh -c 'PGPASSWORD="$(cat $POSTGRES_PASSWORD_FILE)" pg_dump -h 127.0.0.1 -U signalbox -Fc signalbox' \
  > "$folder/database.dump.new"
mv "$folder/files.tar.gz.new" "$folder/files.tar.gz"
mv "$folder/database.dump.new" "$folder/database.dump"
ls -l "$folder" | awk 'NR > 1 {print $5, $9}'
