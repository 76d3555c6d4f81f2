"""The messages, one module per topic; each module's `MESSAGES` is what its topic carries."""
