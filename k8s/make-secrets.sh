#!/usr/bin/env bash
# make-secrets.sh NAMESPACE FOLDER: put the secrets that compose/make-secrets.sh made in FOLDER into the cluster.
#
# DATABASE_HOST=db.example:5432/signalbox REDIS_HOST=redis.example:6379 compose/make-secrets.sh FOLDER comes first; then
# put the administrator's address of your PostgreSQL into FOLDER/admin_database_url.
set -euo pipefail
[ "$#" -eq 2 ] || { echo "usage: make-secrets.sh NAMESPACE FOLDER" >&2; exit 2; }
namespace=$1 folder=$2
kubectl=${KUBECTL:-kubectl}
command -v "${kubectl%% *}" >/dev/null || { echo "make-secrets.sh: there is no kubectl: install it, or set KUBECTL" >&2; exit 1; }
for file in admin_database_url secret_key redis_url {api_gateway,executor,planner,scheduler,notifier,reprocessor,reprocessor_worker}_database_url; do
  [ -s "$folder/$file" ] || { echo "make-secrets.sh: $folder/$file is missing: run compose/make-secrets.sh $folder" >&2; exit 1; }
done
apply() { # NAME KEY=FILE...; a file with `?` before it only where it exists
  local name=$1 words=()
  shift
  for pair in "$@"; do
    [ "${pair#\?}" = "$pair" ] || { pair=${pair#\?}; [ -s "$folder/${pair#*=}" ] || continue; }
    words+=("--from-file=${pair%%=*}=$folder/${pair#*=}")
  done
  $kubectl -n "$namespace" create secret generic "$name" "${words[@]}" --dry-run=client -o yaml | $kubectl apply -f -
}
key=secret_key=secret_key redis=redis_url=redis_url ca='?ca.pem=ca.pem'
kafka() { echo "?kafka_password=$1_kafka_password"; }
apply planner-secrets database_url=planner_database_url $ca "$(kafka planner)"
apply scheduler-secrets database_url=scheduler_database_url $ca "$(kafka scheduler)"
apply executor-secrets database_url=executor_database_url $key $ca "$(kafka executor)"
apply notifier-secrets database_url=notifier_database_url $key $redis $ca "$(kafka notifier)"
apply reprocessor-secrets database_url=reprocessor_database_url worker_database_url=reprocessor_worker_database_url $key $ca "$(kafka reprocessor)"
apply api-gateway-secrets database_url=api_gateway_database_url $key $redis $ca "$(kafka api_gateway)"
provision=(admin_database_url=admin_database_url "$ca" '?kafka_password=kafka_admin_password')
for role in api_gateway executor planner scheduler notifier reprocessor reprocessor_worker; do
  provision+=("${role}_database_url=${role}_database_url" "?${role}_kafka_password=${role}_kafka_password")
done
apply provision-secrets "${provision[@]}"
