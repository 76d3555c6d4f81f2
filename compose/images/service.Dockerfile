# One service of Signalbox, or its tools. `compose/images/build.sh` builds all images and sets the arguments.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /build
COPY requirements.lock compose/images/locked.py ./
COPY compose/images/packages/build.txt packages/
RUN python -m venv tools \
 && python -m venv --without-pip /opt/signalbox \
 && python locked.py requirements.lock packages/build.txt > build.lock \
 && tools/bin/pip install -q --no-cache-dir --disable-pip-version-check --require-hashes -r build.lock
ARG IMAGE
COPY compose/images/packages/${IMAGE}.txt packages/
RUN python locked.py requirements.lock packages/${IMAGE}.txt > image.lock
RUN tools/bin/uv pip install -q --no-cache --compile-bytecode --python /opt/signalbox/bin/python --require-hashes \
      -r image.lock
# the members' own code changes most often and comes last
COPY LICENSE ./
COPY libs libs
COPY services services
COPY compose/local/src/signalbox_local/examples examples
COPY compose/images/assemble.sh compose/images/sbom.py compose/images/healthcheck.py compose/images/entrypoint.sh ./
ARG MEMBERS
RUN ./assemble.sh "${IMAGE}" ${MEMBERS}

FROM ${BASE}
RUN groupadd --gid 10001 signalbox \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/signalbox --shell /usr/sbin/nologin signalbox \
 && for folder in blobs process work events reprocessing; do \
      install -d -o 10001 -g 10001 -m 0750 "/var/lib/signalbox/$folder"; done
COPY --from=build /opt/signalbox /opt/signalbox
ARG IMAGE
ARG MODULE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="signalbox-${IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/signalbox/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SIGNALBOX_MODULE=${MODULE} \
    SIGNALBOX_HTTP_HOST=0.0.0.0 SIGNALBOX_HTTP_PORT=9100
USER 10001:10001
WORKDIR /var/lib/signalbox
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
  CMD ["python3", "-IS", "/opt/signalbox/healthcheck.py", "/readyz"]
ENTRYPOINT ["/opt/signalbox/entrypoint.sh"]
