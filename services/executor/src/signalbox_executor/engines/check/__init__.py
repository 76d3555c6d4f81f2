"""The check engine: questions about the world that need no program, asked under the claim protocol."""
