#!/usr/bin/env bash
# install.sh: install Signalbox on this host, as services of systemd. It may run again: what is there stays.
#
#   --kafka HOST:PORT              our bus
#   --database HOST:PORT/NAME      PostgreSQL 15 or newer
#   --database-admin-url-file F    a file with the administrator's address, to make roles and schemas with
#   --redis-url-file F             a file with redis://…
#   --name NAME                    the host name of the site (this host's)
#   --no-start                     install only
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=deploy/release.sh
. "$source/deploy/release.sh"

kafka='' database='' admin_file='' redis_file='' name=$(hostname -f 2>/dev/null || hostname) start=yes
while [ "$#" -gt 0 ]; do
  case $1 in
    --kafka) kafka=${2:-}; shift ;;
    --database) database=${2:-}; shift ;;
    --database-admin-url-file) admin_file=${2:-}; shift ;;
    --redis-url-file) redis_file=${2:-}; shift ;;
    --name) name=${2:-}; shift ;;
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
    [[ $database =~ ^[^:/]+:[0-9]+/[A-Za-z0-9_]+$ ]] || echo "--database HOST:PORT/NAME is missing or wrong: '$database'"
    [ -s "$admin_file" ] || echo "--database-admin-url-file must name a file with postgresql://…: '$admin_file'"
    [ -s "$redis_file" ] || echo "--redis-url-file must name a file with redis://…: '$redis_file'"
    for port in 8000 9101 9102 9103 9104 9105 9106 9110; do
      ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || echo "port $port of this host is in use: stop what listens there"
    done
  fi
  [[ $name =~ ^[A-Za-z0-9.-]+$ ]] || echo "--name must be a host name: '$name'"
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
[ -s "$etc/secrets/admin_database_url" ] || install -m 0440 "$admin_file" "$etc/secrets/admin_database_url"
[ -s "$etc/secrets/redis_url" ] || install -m 0440 "$redis_file" "$etc/secrets/redis_url"
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
