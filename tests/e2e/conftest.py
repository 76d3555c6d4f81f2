"""End-to-end tests: `make e2e`. The stack is started once for all of them."""

import pytest

from support.e2e import api, stack

__all__ = ["api", "stack"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(300))
