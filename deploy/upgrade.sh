#!/usr/bin/env bash
# upgrade.sh: change this host to the release of this checkout, or back to the one before (--back).
#
# Migrations only add, so services of both versions work on the new schemas. When a service is not ready after the
# change, the release before is put back. Back up first (docs/operations.md).
#   --no-start   change the release, restart nothing
#   --back       to the release that was in use before
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=deploy/release.sh
. "$source/deploy/release.sh"
start=yes back=no
for word in "$@"; do
  case $word in
    --no-start) start=no ;;
    --back) back=yes ;;
    *) echo "upgrade.sh: $word is no option" >&2; exit 2 ;;
  esac
done

found=$(host_problems; [ -f "$etc/signalbox.env" ] && [ -e "$opt/current/bin/python" ] || echo "Signalbox is not installed here: deploy/install.sh")
if [ -n "$found" ]; then
  while read -r line; do echo "upgrade.sh: $line" >&2; done <<< "$found"
  echo "upgrade.sh: nothing was changed" >&2
  exit 1
fi

before=$(current_release)
if [ "$back" = yes ]; then
  [ -s "$opt/previous" ] || refuse "no release was in use before $before"
  release=$(cat "$opt/previous")
  [ -f "$opt/releases/$release/.complete" ] || refuse "release $release is no longer there"
else
  release=$(release_name)
  make_release "$release"
fi
[ "$release" != "$before" ] || { echo "release $release is in use already"; exit 0; }

change() { # NAME
  switch_to "$1"
  [ "$start" = yes ] || return 0
  systemctl daemon-reload
  systemctl restart signalbox-provision.service || return 1
  for service in $services; do systemctl restart "signalbox-$service.service" || return 1; done
  wait_ready 180
}
[ "$back" = yes ] || install_units
if ! change "$release"; then
  echo "upgrade.sh: $release did not become ready; $before is put back" >&2
  switch_to "$before"
  systemctl reset-failed 'signalbox-*' || true
  for service in $services; do systemctl restart "signalbox-$service.service"; done
  exit 1
fi
printf '%s' "$before" > "$opt/previous"
# the release in use, the one before and the newest other one are kept
find "$opt/releases" -mindepth 1 -maxdepth 1 -printf '%T@ %f\n' | sort -rn | awk '{print $2}' \
  | awk -v keep="$release" -v before="$before" '$1 != keep && $1 != before' | tail -n +2 | while read -r old; do rm -rf "${opt:?}/releases/$old"; done
echo "release $release is in use; $before was before (upgrade.sh --back)"
