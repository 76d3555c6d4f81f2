"""The executor: accept, claim, submit, record, observe, finish, take over; each task once."""
