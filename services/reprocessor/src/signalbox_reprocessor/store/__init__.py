"""All SQL of the reprocessor, but that of its workers."""
