"""What restores lost facts: plans republished on request, and versions raised after a restored database."""
