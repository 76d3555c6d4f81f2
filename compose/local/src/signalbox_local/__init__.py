"""The local stack: Kafka, PostgreSQL, Redis and a trace receiver as private processes under `.local/`."""
