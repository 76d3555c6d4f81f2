from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from engines.process.stand import ProcessStand


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncGenerator[ProcessStand]:
    async with ProcessStand.standing(tmp_path) as stand:
        yield stand
