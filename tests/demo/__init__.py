"""`python -m demo`: three jobs on the real stack, an executor killed in the middle, and what must hold afterwards."""
