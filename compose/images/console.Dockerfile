# The web console, served by nginx with the API behind it. `compose/images/build.sh console` builds it.
ARG BASE=python:3.11-slim
ARG NGINX=nginx:1.28

FROM ${BASE} AS build
WORKDIR /build
COPY build build
COPY services/console/package-lock.json compose/images/sbom.py ./
RUN mkdir -p /opt/signalbox/console \
 && if [ -f build/console/index.html ]; then cp -r build/console /opt/signalbox/; fi \
 && find /opt/signalbox/console -type f -size +1k ! -name '*.woff2' -exec gzip -9 -n -k {} + \
 && : > none && python3 sbom.py --names none --console package-lock.json > /opt/signalbox/sbom.json

FROM ${NGINX}
COPY --from=build /opt/signalbox /opt/signalbox
COPY compose/images/nginx.conf compose/images/nginx.sh /opt/signalbox/
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="signalbox-console" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV SIGNALBOX_GATEWAY=api-gateway:8000
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
  CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/console/healthz"]
ENTRYPOINT ["/bin/sh", "/opt/signalbox/nginx.sh"]
