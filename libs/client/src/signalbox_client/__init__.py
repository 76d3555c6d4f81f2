"""A client of the HTTP API, and the `signalbox` command."""
