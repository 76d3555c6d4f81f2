# Sourced by install.sh and upgrade.sh: what both do. Needs $source (the checkout) and $python.
opt=/opt/signalbox
etc=/etc/signalbox
sites=/etc/nginx/conf.d
umask 022 # the services' user reads what root makes here; secrets get modes of their own
services="planner executor scheduler notifier reprocessor api-gateway"

refuse() { echo "$(basename "$0"): $*" >&2; exit 1; }

find_python() {
  for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    command -v "$python" >/dev/null && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  done
  return 1
}

# Problems, a line each; nothing when this host will do.
host_problems() {
  [ "$(id -u)" = 0 ] || echo "run it as root"
  # shellcheck disable=SC1091
  (. /etc/os-release 2>/dev/null || ID=unknown VERSION_ID=0
   case "$ID-${VERSION_ID%%.*}" in
     rocky-9 | centos-9 | rhel-9 | almalinux-9 | debian-12 | debian-13) ;;
     *) echo "$ID ${VERSION_ID:-} is none of Rocky, CentOS, RHEL, AlmaLinux 9 and Debian 12, 13" ;;
   esac)
  find_python || echo "no Python 3.11 with venv: dnf install python3.11, or apt-get install python3 python3-venv"
  command -v systemctl >/dev/null || echo "there is no systemd"
  for part in pyproject.toml requirements.lock compose/images/locked.py deploy/systemd libs services; do
    [ -e "$source/$part" ] || echo "$source has no $part: run it from a complete checkout"
  done
}

release_name() {
  local version digest
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$source/pyproject.toml" | head -1)
  # shellcheck disable=SC2046
  digest=$(cd "$source" && find requirements.lock libs services/*/src deploy compose/images/packages $(ls -d build/console 2>/dev/null || true) -type f ! -name '*.pyc' -print0 \
    | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-8)
  echo "$version-$digest"
}

# Make /opt/signalbox/releases/NAME unless it is complete. Prints what it does.
make_release() {
  local release=$opt/releases/$1 member
  [ ! -f "$release/.complete" ] || { echo "release $1 is there"; return; }
  echo "making release $1 in $release"
  rm -rf "$release"
  mkdir -p "$release/build"
  find_python
  "$python" -m venv --without-pip "$release"
  "$python" -m venv "$release/build/tools"
  "$python" "$source/compose/images/locked.py" "$source/requirements.lock" "$source/compose/images/packages/build.txt" > "$release/build/build.lock"
  "$python" "$source/compose/images/locked.py" "$source/requirements.lock" "$source/compose/images/packages/tools.txt" > "$release/build/release.lock"
  local tools=$release/build/tools/bin
  "$tools/pip" install -q --disable-pip-version-check --require-hashes -r "$release/build/build.lock"
  "$tools/uv" pip install -q --no-cache --compile-bytecode --python "$release/bin/python" --require-hashes -r "$release/build/release.lock"
  mkdir "$release/build/source"
  cp -r "$source/libs" "$source/services" "$release/build/source/"
  for member in "$release"/build/source/libs/* "$release"/build/source/services/*; do
    [ -f "$member/pyproject.toml" ] || continue
    PATH="$tools:$PATH" "$tools/uv" build -q --wheel --no-build-isolation --python "$tools/python" --out-dir "$release/build/wheels" "$member"
  done
  "$tools/uv" pip install -q --no-cache --compile-bytecode --python "$release/bin/python" --no-deps "$release"/build/wheels/*.whl
  rm -rf "$release/build"
  if [ -f "$source/build/console/index.html" ]; then cp -r "$source/build/console" "$release/console"
  else echo "this release has no web console: $source/build/console is missing (docs/deployment.md says how to build it)"; fi
  mkdir -p "$release/docs"
  cp "$source/docs/operations.md" "$source/docs/deployment.md" "$release/docs/" 2>/dev/null || true
  cp "$source/LICENSE" "$release/"
  "$release/bin/python" -c 'import signalbox_gateway, signalbox_executor, signalbox_chassis'
  touch "$release/.complete"
}

# Export the variables of a file as systemd reads it: what is behind `=` is the value, with spaces and all; nothing is run.
export_settings() { # FILE
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=(.*[^[:space:]])?[[:space:]]*$ ]] || continue
    local name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    [[ ! $value =~ ^\"(.*)\"$ && ! $value =~ ^\'(.*)\'$ ]] || value=${BASH_REMATCH[1]}
    export "$name=$value"
  done < "$1"
}

switch_to() { # NAME: in one step
  ln -sfn "releases/$1" "$opt/.current.new"
  mv -T "$opt/.current.new" "$opt/current"
}

current_release() { basename "$(readlink "$opt/current" 2>/dev/null || true)"; }

install_units() {
  install -m 0644 "$source"/deploy/systemd/* /etc/systemd/system/
  systemctl daemon-reload 2>/dev/null || true
}

# A new site that nginx refuses is taken back.
install_site() { # NAME
  local site=$sites/signalbox.conf problem
  [ -d "$sites" ] || { echo "no nginx here: $source/deploy/nginx/signalbox.conf is the site for wherever it runs"; return; }
  [ ! -f "$site" ] || { echo "$site stays as it is"; return; }
  if [ ! -f "$etc/tls/server.crt" ]; then
    mkdir -p "$etc/tls"
    problem=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$1" -addext "subjectAltName=DNS:$1" \
      -keyout "$etc/tls/server.key" -out "$etc/tls/server.crt" 2>&1) || refuse "there is no certificate for the site: $(tail -1 <<< "$problem")"
    chmod 0600 "$etc/tls/server.key"
    echo "$etc/tls holds a certificate that nobody signed: put yours in its place"
  fi
  sed "s/@NAME@/$1/g" "$source/deploy/nginx/signalbox.conf" > "$site"
  problem=$(nginx -t -q 2>&1) || { rm -f "$site"; refuse "nginx refuses the site, which was taken back: $(head -1 <<< "$problem")"; }
  # SELinux keeps nginx from every port that is not the web's own
  [ "$(getenforce 2>/dev/null || true)" != Enforcing ] || setsebool -P httpd_can_network_connect on
  if firewall-cmd -q --state 2>/dev/null && ! firewall-cmd -q --query-service=https; then
    echo "the firewall is closed for the site: firewall-cmd --permanent --add-service=https --add-service=http && firewall-cmd --reload"
  fi
  ! systemctl is-active -q nginx || systemctl reload nginx || true
  systemctl is-active -q nginx || echo "nginx does not run: systemctl enable --now nginx"
}

wait_ready() { # SECONDS
  local service port deadline=$((SECONDS + $1))
  for service in $services; do
    port=$(sed -n 's/^SIGNALBOX_HTTP_PORT=//p' "$etc/$service.env")
    until "$opt/current/bin/python" -IS -c "import socket,sys
s=socket.create_connection(('127.0.0.1',$port),4); s.settimeout(4); s.sendall(b'GET /readyz HTTP/1.0\r\n\r\n'); sys.exit(b' 200' not in s.makefile('rb').readline())" 2>/dev/null; do
      ! systemctl is-failed -q "signalbox-$service" || { echo "$service failed: journalctl -u signalbox-$service" >&2; return 1; }
      [ $SECONDS -lt $deadline ] || { echo "$service is not ready: journalctl -u signalbox-$service" >&2; return 1; }
      sleep 1
    done
  done
}
