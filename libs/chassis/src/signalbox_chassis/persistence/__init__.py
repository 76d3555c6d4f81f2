"""Everything between a service and PostgreSQL."""
