#!/usr/bin/env bash
# build.sh [IMAGE...]: build the images of Signalbox; all of them without a name. What each holds is in build/sbom/.
#
#   SIGNALBOX_REGISTRY  what image names begin with (signalbox)
#   SIGNALBOX_VERSION   their tag (the version in pyproject.toml)
#   BASE                the image they stand on (python:3.11-slim)
#   NGINX_IMAGE         the image the console stands on (nginx:1.28)
#   BUILD_OPTIONS       more options of `docker build`, such as `--network host`
set -euo pipefail
cd "$(dirname "$0")/../.."
registry=${SIGNALBOX_REGISTRY:-signalbox}
version=${SIGNALBOX_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
all=(planner executor scheduler notifier reprocessor api-gateway console reprocessing-worker tools)
base_members="libs/contracts libs/chassis"

refuse() { echo "build.sh: $*" >&2; exit 1; }
command -v docker >/dev/null || refuse "there is no docker: install Docker 20.10 or newer"
engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || refuse "no Docker engine answers: start it, or set DOCKER_HOST"
[ "$(printf '%s\n' 20.10 "$engine" | sort -V | head -1)" = 20.10 ] || refuse "Docker $engine is too old: 20.10 or newer is needed"

buildkit=0
! docker buildx version >/dev/null 2>&1 || buildkit=1 # the classic builder does as well

members_of() {
  case $1 in
    planner | scheduler | notifier | reprocessor | api-gateway) echo "$base_members services/$1" ;;
    executor) echo "$base_members services/executor services/reprocessor" ;;
    reprocessing-worker) echo "$base_members services/reprocessor" ;;
    console) ;; # it has its own Dockerfile
    tools) echo "$base_members libs/client services/planner services/executor services/scheduler services/notifier services/reprocessor services/api-gateway" ;;
    *) refuse "there is no image $1; there are: ${all[*]}" ;;
  esac
}

module_of() {
  case $1 in
    api-gateway) echo signalbox_gateway ;;
    reprocessing-worker) echo signalbox_reprocessor.worker.main ;;
    tools) echo signalbox_chassis.persistence.provision ;;
    *) echo "signalbox_$1" ;;
  esac
}

# The web console is built with the host's Node, or in a container of it. Without either its image serves the API alone.
console() {
  local target=build/console draft=build/console-draft
  local steps="npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent && npx vite build --logLevel warn --outDir ../console --emptyOutDir"
  [ -f "$target/index.html" ] && [ -z "$(find services/console/src services/console/package-lock.json -newer "$target/index.html" -print -quit)" ] && return
  rm -rf "$draft" && mkdir -p "$draft"  # a copy: the packages that developers installed stay
  (cd services/console && cp -r package.json package-lock.json .npmrc index.html vite.config.ts src public "../../$draft/")
  if command -v npm >/dev/null; then
    (cd "$draft" && sh -c "$steps")
  elif docker image inspect node:22-slim >/dev/null 2>&1 || docker pull -q node:22-slim >/dev/null 2>&1; then
    docker run --rm -v "$PWD:/work" -w "/work/$draft" node:22-slim sh -c "$steps"
  else
    echo "build.sh: no Node and no image node:22-slim: the image console is built without the web console" >&2
  fi
  rm -rf "$draft"
}

[ "$#" -gt 0 ] || set -- "${all[@]}"
for image in "$@"; do members_of "$image" >/dev/null; done
mkdir -p build
touch build/.keep
for image in "$@"; do
  dockerfile=service
  if [ "$image" = console ]; then console; dockerfile=console; fi
  began=$SECONDS
  # shellcheck disable=SC2086
  DOCKER_BUILDKIT=$buildkit docker build -q ${BUILD_OPTIONS:-} -f "compose/images/$dockerfile.Dockerfile" -t "$registry/$image:$version" \
    --build-arg "BASE=${BASE:-python:3.11-slim}" --build-arg "NGINX=${NGINX_IMAGE:-nginx:1.28}" --build-arg "IMAGE=$image" \
    --build-arg "MODULE=$(module_of "$image")" --build-arg "MEMBERS=$(members_of "$image")" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" . >/dev/null
  mkdir -p build/sbom
  case $image in
    console) docker run --rm --network none --entrypoint cat "$registry/$image:$version" /opt/signalbox/sbom.json ;;
    *) docker run --rm --network none "$registry/$image:$version" python /opt/signalbox/sbom.py ;;
  esac > "build/sbom/$image.json"
  size=$(docker image inspect --format '{{.Size}}' "$registry/$image:$version")
  echo "$registry/$image:$version  $((size / 1000000)) MB  $((SECONDS - began)) s"
done
