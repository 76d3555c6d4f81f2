"""What holds for every route: who may, what is wrong, once only, pages, versions, traces."""
