from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from support.crash_points.scene import CrashStand
from support.crash_points.stands import stand_on

pytest.register_assert_rewrite("engines.conformance")
HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a whole product come first in their folder: it stands still while others run on event loops of theirs.

    After minutes of that its connections are dead and its leases are over.
    """
    places = [at for at, item in enumerate(items) if item.path.is_relative_to(HERE)]
    folders = list(dict.fromkeys(items[at].path.parent for at in places))
    ordered = sorted(
        (items[at] for at in places),
        key=lambda item: (folders.index(item.path.parent), "product" not in getattr(item, "fixturenames", ())),
    )
    for at, item in zip(places, ordered, strict=True):
        items[at] = item


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(
    kafka_bootstrap: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[CrashStand]:
    """Where executors are killed; the engine comes with each test."""
    async with stand_on(postgres_url, kafka_bootstrap, tmp_path_factory.mktemp("stand")) as stand:
        yield stand
