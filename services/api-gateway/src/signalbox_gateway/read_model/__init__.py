"""The read model: `rows` turns facts into rows (pure), `writes` stores them, `queries` reads them for the routes."""
