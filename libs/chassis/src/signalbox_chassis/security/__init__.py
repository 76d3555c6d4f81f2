"""What guards secrets and outgoing requests."""
