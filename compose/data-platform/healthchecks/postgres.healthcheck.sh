#!/usr/bin/env bash
# exit 0: PostgreSQL accepts connections; exit 1: it does not.
pg_isready -q -h "${POSTGRES_HOST:-postgres}" -p "${POSTGRES_PORT:-5432}" -U "${POSTGRES_USER:-postgres}" -t 4 || exit 1
