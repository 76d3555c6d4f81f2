"""The frame a service runs in."""
