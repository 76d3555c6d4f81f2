"""Who may call: principals, their tokens, and the SQL of both."""
