"""Spark: a standalone master's REST server, and Livy."""
