"""What holds for every route: permissions, problems, idempotency, pages, versions, traces."""
