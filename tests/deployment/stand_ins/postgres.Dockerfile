# Behaves like the official image of PostgreSQL where compose/compose.yaml needs it.
FROM python:3.11-slim
COPY programs /opt/programs
RUN ln -s "$(dirname "$(dirname "$(find /opt/programs -name initdb)")")" /opt/postgres
RUN useradd --uid 999 --home-dir /var/lib/postgresql --create-home postgres \
 && install -d -o postgres -g postgres /var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/opt/postgres/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
USER postgres
ENTRYPOINT ["/bin/bash", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
