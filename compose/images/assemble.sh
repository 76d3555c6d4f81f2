#!/bin/sh
# assemble.sh IMAGE MEMBER...: install the workspace members and what belongs to this image into /opt/signalbox.
# Runs in the build stage of `service.Dockerfile`.
set -eu
image=$1
shift
for member in "$@"; do
  PATH="/build/tools/bin:$PATH" tools/bin/uv build -q --wheel --no-build-isolation --python tools/bin/python \
    --out-dir wheels "$member"
done
tools/bin/uv pip install -q --no-cache --compile-bytecode --python /opt/signalbox/bin/python --no-deps wheels/*.whl
install -m 0755 entrypoint.sh /opt/signalbox/entrypoint.sh
install -m 0644 healthcheck.py sbom.py LICENSE /opt/signalbox/
if [ "$image" = executor ]; then
  # the example programs that the demonstration pipeline runs
  mkdir -p /opt/signalbox/programs
  for program in ingestion processing loader; do
    { echo '#!/opt/signalbox/bin/python -I'; cat "examples/$program.py"; } > "/opt/signalbox/programs/$program"
    chmod 0755 "/opt/signalbox/programs/$program"
  done
fi
