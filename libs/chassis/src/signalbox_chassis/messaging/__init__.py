"""Everything between a handler and Kafka."""
