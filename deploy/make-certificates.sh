#!/usr/bin/env bash
# make-certificates.sh [FOLDER]: an authority of your own, and certificates for Kafka, PostgreSQL and Redis. What exists
# stays; delete a server's file to have it made again, signed by the same authority.
#
#   FOLDER          where they go (compose/secrets)
#   KAFKA_NAMES     names and addresses that clients use, separated by commas (kafka,localhost,127.0.0.1)
#   POSTGRES_NAMES  (postgres,localhost,127.0.0.1)
#   REDIS_NAMES     (redis,localhost,127.0.0.1)
#   DAYS            how long they are valid (825)
#   FILE_MODE       of each server's key (0444: a container's user must read it; the folder is closed to others)
#
# ca.pem is what clients trust; keep ca.key somewhere else afterwards.
set -euo pipefail
folder=${1:-$(dirname "$0")/../compose/secrets}
days=${DAYS:-825}
mode=${FILE_MODE:-0444}
command -v openssl >/dev/null || { echo "make-certificates.sh: openssl is missing" >&2; exit 1; }
umask 077
mkdir -p "$folder" 2>/dev/null || { echo "make-certificates.sh: $folder cannot be made" >&2; exit 1; }
made=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; } # PKCS 8, as Kafka needs it
names() { # NAME,NAME → DNS:…,IP:…
  local name out=''
  for name in ${1//,/ }; do
    if [[ $name =~ ^[0-9.]+$|: ]]; then out+=",IP:$name"; else out+=",DNS:$name"; fi
  done
  printf %s "${out#,}"
}

if [ ! -s "$folder/ca.pem" ]; then
  key "$folder/ca.key"
  openssl req -x509 -new -key "$folder/ca.key" -sha256 -days 3650 -subj "/CN=Signalbox authority" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$work/ca.pem"
  install -m 0444 "$work/ca.pem" "$folder/ca.pem"
  made=$((made + 1))
fi

server() { # NAME NAMES
  [ ! -s "$folder/$1.crt" ] || return 0
  [ -s "$folder/ca.key" ] || { echo "make-certificates.sh: $folder/ca.key is needed to sign the certificate of $1" >&2; exit 1; }
  key "$work/$1.key"
  openssl req -new -key "$work/$1.key" -subj "/CN=$1" -out "$work/$1.csr"
  printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n' \
    "$(names "$2")" > "$work/$1.ext"
  openssl x509 -req -in "$work/$1.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -CAserial "$work/ca.srl" \
    -sha256 -days "$days" -extfile "$work/$1.ext" -out "$work/$1.crt" 2>/dev/null
  cat "$work/$1.key" "$work/$1.crt" "$folder/ca.pem" > "$work/$1.pem"
  install -m "$mode" "$work/$1.key" "$folder/$1.key"
  install -m "$mode" "$work/$1.pem" "$folder/$1.pem"
  install -m 0444 "$work/$1.crt" "$folder/$1.crt"
  made=$((made + 1))
}
server kafka "${KAFKA_NAMES:-kafka,localhost,127.0.0.1}"
server postgres "${POSTGRES_NAMES:-postgres,localhost,127.0.0.1}"
server redis "${REDIS_NAMES:-redis,localhost,127.0.0.1}"
echo "$folder: $made certificates made, the others were there"
