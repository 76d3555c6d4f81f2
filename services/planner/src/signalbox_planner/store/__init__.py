"""All SQL of the planner, by noun: plans, items, and what is to be republished."""
