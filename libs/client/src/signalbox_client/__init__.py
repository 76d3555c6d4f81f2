"""A typed client of the HTTP API, and the `signalbox` command built on it."""
