"""A folder per test, and what the user has fetched."""

from collections.abc import Generator
from pathlib import Path

import pytest
from stack_command import open_folder

from signalbox_local.programs import Programs


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Shared, so that no test downloads anything again."""
    return Programs()


@pytest.fixture
def place() -> Generator[Path]:
    with open_folder() as folder:
        yield folder
