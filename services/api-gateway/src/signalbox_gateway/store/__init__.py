"""SQL of the gateway's own writes: idempotency keys and requested operations."""
