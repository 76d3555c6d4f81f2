"""The read model: `rows` turns facts into rows (pure), `store` writes them, `reading` reads them for the routes."""
