# Debian's PostgreSQL, which behaves like the official image where compose/compose.yaml needs it.
FROM python:3.11-slim
RUN useradd --system --uid 999 --home-dir /var/lib/postgresql --create-home --shell /bin/bash postgres \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql postgresql-contrib \
 && rm -rf /var/lib/postgresql/*/main /var/lib/apt/lists/* && ln -s /usr/lib/postgresql/* /opt/postgres \
 && install -d -o postgres -g postgres /var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN chmod 0755 /usr/local/bin/docker-entrypoint.sh
ENV PATH=/opt/postgres/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
