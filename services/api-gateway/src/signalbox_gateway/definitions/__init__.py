"""Definitions of every kind, by one mechanism. `kinds` lists the kinds; `store` and `publish` hold the SQL."""
