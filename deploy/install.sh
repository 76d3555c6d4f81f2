#!/usr/bin/env bash
# install.sh: install Signalbox on this host, as services of systemd. It may run again: what is there stays.
#
#   --kafka HOST:PORT              our bus
#   --database HOST:PORT/NAME      PostgreSQL 15 or newer; ?sslmode=verify-full behind it: over TLS
#   --database-admin-url-file F    a file with the administrator's address, to make roles and schemas with
#   --redis-url-file F             a file with redis://… or rediss://…
#   --ca-file F                    the authority of the servers' certificates, for all that is over TLS
#   --kafka-admin-password-file F  Kafka has users and TLS: the password of its user kafka_admin
#   --name NAME                    the host name of the site (this host's)
#   --no-start                     install only
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=deploy/release.sh
. "$source/deploy/release.sh"

kafka='' database='' admin_file='' redis_file='' ca_file='' kafka_file='' name=$(hostname -f 2>/dev/null || hostname) start=yes
while [ "$#" -gt 0 ]; do
  case $1 in
    --kafka | --database | --database-admin-url-file | --redis-url-file | --ca-file | --kafka-admin-password-file | --name)
      [ "$#" -gt 1 ] || { echo "install.sh: $1 needs a value" >&2; exit 2; } ;;&
    --kafka) kafka=$2; shift ;;
    --database) database=$2; shift ;;
    --database-admin-url-file) admin_file=$2; shift ;;
    --redis-url-file) redis_file=$2; shift ;;
    --ca-file) ca_file=$2; shift ;;
    --kafka-admin-password-file) kafka_file=$2; shift ;;
    --name) name=$2; shift ;;
    --no-start) start=no ;;
    -h | --help) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
    *) echo "install.sh: $1 is no option; --help lists them" >&2; exit 2 ;;
  esac
  shift
done

problems() {
  host_problems
  if [ ! -f "$etc/signalbox.env" ]; then
    [[ $kafka =~ ^[^:]+:[0-9]+(,[^:]+:[0-9]+)*$ ]] || echo "--kafka HOST:PORT is missing or wrong: '$kafka'"
    [[ $database =~ ^[^:/]+:[0-9]+/[A-Za-z0-9_]+(\?sslmode=(disable|prefer|require|verify-ca|verify-full))?$ ]] \
      || echo "--database HOST:PORT/NAME[?sslmode=MODE] is missing or wrong: '$database'"
    [ -s "$admin_file" ] || echo "--database-admin-url-file must name a file with postgresql://…: '$admin_file'"
    [ -s "$redis_file" ] || echo "--redis-url-file must name a file with redis://…: '$redis_file'"
    [ -z "$ca_file" ] || openssl x509 -noout -in "$ca_file" 2>/dev/null || echo "--ca-file must name a certificate in PEM: '$ca_file'"
    [[ $database != *sslmode=verify-* || -n $ca_file ]] || echo "--ca-file is missing: ${database#*\?} needs the authority to verify with"
    [ -z "$kafka_file" ] || [ -s "$kafka_file" ] || echo "--kafka-admin-password-file must name a file with a password: '$kafka_file'"
    [[ -z $kafka_file || -n $ca_file ]] || echo "--ca-file is missing: Kafka's users send their passwords over TLS only"
    for port in 8000 9101 9102 9103 9104 9105 9106 9110; do
      ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || echo "port $port of this host is in use: stop what listens there"
    done
  fi
  { [ -z "$ca_file" ] && { [ ! -d "$sites" ] || [ -f "$etc/tls/server.crt" ]; }; } || command -v openssl >/dev/null \
    || echo "no openssl for certificates: dnf install openssl, or apt-get install openssl"
  [[ $name =~ ^[A-Za-z0-9.-]+$ ]] || echo "--name must be a host name: '$name'"
}

# Each service signs in to Kafka as signalbox_<schema>; `provision` makes these users as kafka_admin.
use_kafka_users() {
  local service schema
  install -m 0440 "$kafka_file" "$etc/secrets/kafka_admin_password"
  printf 'SIGNALBOX_KAFKA_SECURITY_PROTOCOL=SASL_SSL\nSIGNALBOX_KAFKA_CA_FILE=%s\n' "$ca" >> "$etc/signalbox.env"
  for service in $services; do
    schema=${service//-/_}
    printf 'SIGNALBOX_KAFKA_USER=signalbox_%s\nSIGNALBOX_KAFKA_PASSWORD_FILE=%s\n' "$schema" "$etc/secrets/${schema}_kafka_password" \
      >> "$etc/$service.env"
  done
  printf 'SIGNALBOX_KAFKA_SASL_MECHANISM=PLAIN\nSIGNALBOX_KAFKA_USER=kafka_admin\nSIGNALBOX_KAFKA_PASSWORD_FILE=%s\n' \
    "$etc/secrets/kafka_admin_password" > "$etc/provision.env"
}

found=$(problems)
if [ -n "$found" ]; then
  while read -r line; do echo "install.sh: $line" >&2; done <<< "$found"
  echo "install.sh: nothing was installed" >&2
  exit 1
fi

release=$(release_name)
make_release "$release"
id signalbox >/dev/null 2>&1 || useradd --system --home-dir /var/lib/signalbox --no-create-home --shell /usr/sbin/nologin signalbox
install -d -o signalbox -g signalbox -m 0750 /var/lib/signalbox
install -d -m 0755 "$etc"
for file in "$source"/deploy/env/*.env; do
  target=$etc/$(basename "$file")
  [ -f "$target" ] || sed "s|@KAFKA@|$kafka|; s|@NAME@|$name|" "$file" > "$target"
done
install -d -o root -g signalbox -m 0750 "$etc/secrets"
ca=$etc/ca.pem
[ -z "$ca_file" ] || [ -s "$ca" ] || install -m 0444 "$ca_file" "$ca"
[[ $database != *sslmode=verify-* ]] || database="$database&sslrootcert=$ca"
[ -z "$kafka_file" ] || [ -s "$etc/secrets/kafka_admin_password" ] || use_kafka_users
[ -s "$etc/secrets/admin_database_url" ] || install -m 0440 "$admin_file" "$etc/secrets/admin_database_url"
[ -s "$etc/secrets/redis_url" ] || install -m 0440 "$redis_file" "$etc/secrets/redis_url"
[ ! -s "$etc/secrets/kafka_admin_password" ] || export KAFKA_USERS=yes
DATABASE_HOST=${database:-unused:0/unused} FILE_MODE=0440 "$source/compose/make-secrets.sh" "$etc/secrets"
chown -R root:signalbox "$etc/secrets"
chmod 0750 "$etc/secrets"
install_units
install_site "$name"
[ -n "$(current_release)" ] || switch_to "$release"
[ "$(current_release)" = "$release" ] || echo "release $(current_release) stays in use: deploy/upgrade.sh changes it to $release"
systemctl enable -q signalbox.target
if [ "$start" = yes ]; then
  systemctl start signalbox-provision.service || refuse "topics and schemas could not be made: $(journalctl -u signalbox-provision -o cat -n 20 --no-pager | grep -E '^(provision|SIGNALBOX_)' | tail -1)"
  systemctl start signalbox.target
  wait_ready 180
  echo "Signalbox is ready. An administrator: deploy/admin.sh create NAME"
else
  echo "installed; systemctl start signalbox.target starts it"
fi
