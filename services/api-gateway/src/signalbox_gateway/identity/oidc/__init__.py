"""Signing in at an OpenID provider: its metadata, its ID tokens, the login a browser began, and whose account it is."""
