#!/usr/bin/env bash
# make-secrets.sh [FOLDER]: make the secrets of an installation, one file each; what exists stays as it is.
#
#   FOLDER         where they go (compose/secrets)
#   DATABASE_HOST  host:port/database of PostgreSQL (postgres:5432/signalbox); ?sslmode=verify-full&sslrootcert=FILE: over TLS
#   REDIS_HOST     host:port of Redis (redis:6379); REDIS_SCHEME=rediss with ?ssl_ca_certs=FILE behind it: over TLS
#   KAFKA_USERS    yes: passwords for a Kafka user of each service too
#   SECURE         yes: what compose/secure.yaml needs: certificates, Kafka users, every address over TLS (passwords stay)
#   FILE_MODE      of each file (0444: a container's user must read it; the folder is closed to others)
set -euo pipefail
here=$(dirname "$0")
folder=${1:-$here/secrets}
database=${DATABASE_HOST:-postgres:5432/signalbox}
redis=${REDIS_HOST:-redis:6379}/0
case $redis in *\?*) redis=${redis%/0}; redis=${redis%%\?*}/0?${redis#*\?} ;; esac
mode=${FILE_MODE:-0444}
ca=/run/secrets/ca.pem # where containers see it
umask 077

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
password() { random 24 | tr '+/' '-_'; }
quoted() { # FILE: a password of your own may hold what has a meaning in an address
  local text i one LC_ALL=C
  text=$(cat "$1")
  for ((i = 0; i < ${#text}; i++)); do
    one=${text:i:1}
    case $one in [a-zA-Z0-9._~-]) printf %s "$one" ;; *) printf '%%%02X' "$(($(printf %d "'$one") & 255))" ;; esac
  done
}
made=0
keep() { # NAME VALUE
  [ -s "$folder/$1" ] || put "$1" "$2"
}
put() { # NAME VALUE
  printf '%s' "$2" > "$folder/.$1.new"
  chmod "$mode" "$folder/.$1.new"
  mv "$folder/.$1.new" "$folder/$1"
  made=$((made + 1))
}

mkdir -p "$folder" 2>/dev/null || { echo "make-secrets.sh: $folder cannot be made" >&2; exit 1; }
chmod 0700 "$folder"
if [ "${SECURE:-no}" = yes ]; then
  KAFKA_USERS=yes
  "$here/../deploy/make-certificates.sh" "$folder"
fi
keep postgres_password "$(password)"
keep admin_database_url "postgresql://signalbox:$(quoted "$folder/postgres_password")@$database"
for role in api_gateway executor planner scheduler notifier reprocessor reprocessor_worker; do
  keep "${role}_database_url" "postgresql://signalbox_$role:$(password)@$database"
done
if [ "${KAFKA_USERS:-no}" = yes ]; then
  for role in kafka_admin api_gateway_kafka executor_kafka planner_kafka scheduler_kafka notifier_kafka reprocessor_kafka; do
    keep "${role}_password" "$(password)"
  done
fi
keep redis_password "$(password)"
keep redis_url "${REDIS_SCHEME:-redis}://:$(quoted "$folder/redis_password")@$redis"
if [ "${SECURE:-no}" = yes ]; then
  for file in "$folder"/*_database_url; do
    grep -q '?' "$file" || put "$(basename "$file")" "$(cat "$file")?sslmode=verify-full&sslrootcert=$ca"
  done
  ! grep -q '^redis:' "$folder/redis_url" || put redis_url "rediss:$(cut -d: -f2- "$folder/redis_url")?ssl_ca_certs=$ca"
fi
keep secret_key "$(random 32)"
keep grafana_password "$(password)"
# without this line compose.yaml says what is missing, before anything is started
if [ "$folder" = "$here/secrets" ] && ! grep -qs '^SIGNALBOX_SECRETS=' "$here/.env"; then
  (umask 022; echo 'SIGNALBOX_SECRETS=./secrets' >> "$here/.env")
fi
echo "$folder: $made secrets made, the others were there"
