#!/usr/bin/env bash
# check.sh OVERLAY: what this cluster lacks for the overlay, a line each; nothing is changed. Exits 0 when it has all.
#
#   KUBECTL  how kubectl is called (kubectl)
set -euo pipefail
[ "$#" -eq 1 ] || { echo "usage: check.sh OVERLAY" >&2; exit 2; }
kubectl=${KUBECTL:-kubectl}
refuse() { echo "check.sh: $*" >&2; exit 1; }
command -v "${kubectl%% *}" >/dev/null || refuse "there is no kubectl: install it, or set KUBECTL"
manifests=$($kubectl kustomize "$1") || refuse "$1 is no overlay that kustomize reads"
# it fails as well when one aggregated API, such as that of metrics, does not answer; the others are listed
known=$({ $kubectl api-resources --no-headers 2>/dev/null || true; } | awk '{print $(NF-2), $NF}')
[ -n "$known" ] || refuse "no cluster answers: see kubectl config current-context"
namespace=$(sed -n 's/^  namespace: //p' <<< "$manifests" | head -1)

problems() {
  local version kind secret hint
  while read -r version kind; do
    grep -qxF "$version $kind" <<< "$known" \
      || echo "the cluster does not know $kind of $version: install what brings it, or leave out the component that has it"
  done < <(awk '/^apiVersion:/ {version = $2} /^kind:/ {print version, $2}' <<< "$manifests" | sort -u)
  while read -r secret; do
    hint="k8s/make-secrets.sh $namespace FOLDER"
    [ "$secret" != signalbox-tls ] || hint="kubectl -n $namespace create secret tls $secret --cert=FILE --key=FILE"
    $kubectl -n "$namespace" get secret "$secret" >/dev/null 2>&1 || echo "there is no secret $secret in $namespace: $hint"
  done < <(comm -23 <(sed -n 's/^ *secretName: //p' <<< "$manifests" | sort -u) \
    <(awk '/^kind: Secret/ {seen = 1} /^---/ {seen = 0} seen && /^  name: / {print $2}' <<< "$manifests" | sort -u))
}
found=$(problems)
[ -n "$found" ] || exit 0
while read -r line; do echo "check.sh: $line" >&2; done <<< "$found"
exit 1
