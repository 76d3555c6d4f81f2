"""A vault that does not answer costs the runs of a pass one wait, and those without secrets nothing."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from signalbox_contracts.ids import run_key
from signalbox_executor import run_masks
from signalbox_executor.engines.port import EngineUnavailable, Observation, Phase, Watched
from signalbox_executor.run_masks import ReportMasker


class NoDatabase:
    """Whose connections are not used."""

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[None]:
        yield


class Watch:
    """What a masker looks at of a watched run."""

    def __init__(self, task_id: UUID) -> None:
        self.task_id = task_id
        self.watched = Watched(run_key(task_id, 1), 1)


async def test_a_vault_that_does_not_answer_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it many ended runs with secrets take the time of the whole pass: no end is seen, and the engine counts
    as one that does not answer.
    """
    ids = [uuid4() for _ in range(100)]
    reads = 0

    class Silent:
        async def values(self, work: object) -> frozenset[str]:
            nonlocal reads
            reads += 1
            raise EngineUnavailable("secrets", "the vault cannot be read: TimeoutError")

    async def works(_connection: object, task_ids: list[UUID]) -> Mapping[UUID, object]:
        return dict.fromkeys(task_ids[1:], object())

    monkeypatch.setattr("signalbox_executor.store.observe.work_with_secrets", works)
    watches = [cast(Any, Watch(id)) for id in ids]
    seen = {
        run_key(id, 1): Observation(
            run_key=run_key(id, 1), phase=Phase.RUNNING, handle="h", at=datetime.now(UTC), message="text"
        )
        for id in ids
    }
    masker = ReportMasker(cast(Any, NoDatabase()), cast(Any, Silent()))
    assert list(await masker.clean(cast(Any, object()), watches, seen)) == [run_key(ids[0], 1)]
    assert reads <= run_masks.MAX_AT_ONCE
