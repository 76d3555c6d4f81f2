#!/bin/sh
# PostgreSQL over TLS, for compose/secure.yaml: WORDS of the image's own command, behind its own entrypoint.
# The server wants its key readable by nobody else, which a mounted secret is not.
set -eu
umask 077
key=/tmp/postgres.key
cp /run/secrets/postgres.key "$key"
[ "$(id -u)" != 0 ] || chown postgres "$key"
exec docker-entrypoint.sh "$@" -c ssl=on -c ssl_cert_file=/run/secrets/postgres.crt -c "ssl_key_file=$key" \
  -c hba_file=/etc/signalbox-postgres/pg_hba.conf
