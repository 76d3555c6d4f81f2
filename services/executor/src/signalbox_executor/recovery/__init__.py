"""What brings lost knowledge back: states published again, a database restored from a backup."""
