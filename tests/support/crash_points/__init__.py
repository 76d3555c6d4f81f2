"""Where an executor may die, on every engine: the table, the engines, and what a test does to real processes."""
