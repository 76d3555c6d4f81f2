"""All SQL of the executor, by noun. Every statement names the invariant it keeps.

What a guard is about is in the row that is written; a guard on another row counts only because that row is locked
earlier in the same transaction. Only the database's clock is compared.
"""
