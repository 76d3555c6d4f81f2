from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from integration.engines.process_stand import ProcessStand


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncGenerator[ProcessStand]:
    async with ProcessStand.started(tmp_path) as stand:
        yield stand
