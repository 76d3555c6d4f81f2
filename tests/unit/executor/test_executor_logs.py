"""The logs of one engine, and a log that is masked, keep nothing else waiting."""

import asyncio
import gzip
import threading
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from signalbox_chassis.blobs import Blobs
from signalbox_contracts.ids import run_key
from signalbox_executor import logs
from signalbox_executor.engines.port import EngineUnavailable, LogPage, Watched
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.logs import LogKeeper
from signalbox_executor.masking import Mask
from signalbox_executor.secrets import Secrets
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store.logs import Copy


class NoDatabase:
    """Whose connections are not used."""

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[None]:
        yield


def log_of(engine_id: str) -> Copy:
    task = uuid4()
    return Copy(task, engine_id, Watched(run_key(task, 1), 1), ended=True, bytes=0, truncated=False, work=None)


async def test_the_logs_of_an_engine_that_hangs_keep_no_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it 200 of them keep every log of every engine from growing for a quarter of an hour."""
    taken = [*(log_of("down") for _ in range(40)), log_of("up"), *(log_of("shaky") for _ in range(20))]
    reads: Counter[str] = Counter()

    async def take(*_: object, **__: object) -> list[Copy]:
        return taken

    async def keep(copy: Copy) -> None:
        reads[copy.engine_id] += 1
        if copy.engine_id == "down" or (copy.engine_id == "shaky" and reads["shaky"] % 2):
            raise EngineUnavailable(copy.engine_id, "no answer in time")

    monkeypatch.setattr("signalbox_executor.store.logs.take", take)
    registry = EngineRegistry(cast(Any, None))
    registry.get = cast(Any, lambda engine_id: object())  # pyright: ignore[reportUnknownLambdaType]
    settings = ExecutorSettings.model_construct(log_seconds=1.0, log_follow_seconds=1.0, worker_lease_seconds=30.0)
    keeper = LogKeeper(cast(Any, NoDatabase()), registry, Secrets(), cast(Any, None), settings, lambda: ["down"])
    monkeypatch.setattr(keeper, "_keep", keep)
    await keeper.one_pass()
    assert reads == {"down": logs.MAX_AT_ONCE, "up": 1, "shaky": 20}, "one that answers now and then is still read"


async def test_a_log_is_masked_while_everything_else_goes_on() -> None:
    """Without it a key of two hundred lines stops the whole executor for half a second with each page of a log."""
    went_on = threading.Event()

    class Slow(Mask):
        def clean(self, data: bytes, *, last: bool, after_gap: bool = False, before_gap: bool = False) -> bytes:
            assert went_on.wait(10), "nothing else went on"
            return super().clean(data, last=last, after_gap=after_gap, before_gap=before_gap)

    class Log:
        async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
            return LogPage(offset, b"a secret value"[offset:])

    settings = ExecutorSettings.model_construct(engine_timeout_seconds=30.0)
    registry = EngineRegistry(cast(Any, None))
    keeper = LogKeeper(cast(Any, NoDatabase()), registry, Secrets(), cast(Any, None), settings, list[str])
    asyncio.get_running_loop().call_later(0.05, went_on.set)
    mask = Slow(frozenset({"secret value"}))
    page = keeper._page(log_of("e1"), cast(Any, Log()), mask, 0, 100)  # pyright: ignore[reportPrivateUsage]
    assert await page == (0, b"a ************", True)


@pytest.mark.parametrize("damaged", [b"", b"no gzip data", gzip.compress(b"a line\n" * 9)[:-12]])
async def test_a_damaged_piece_is_stored_again_and_the_log_is_completed(tmp_path: Path, damaged: bytes) -> None:
    """Without it one damaged piece keeps its log unfinished for ever."""
    content = b"a line\n" * 20

    class Log:
        async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
            return LogPage(offset, content[offset : offset + limit])

    done: list[Copy] = []

    async def record_done(copy: Copy) -> None:
        done.append(copy)

    blobs, copy = Blobs(tmp_path.as_uri()), log_of("up")
    await blobs.write(f"{copy.folder}/{0:016d}.gz", damaged)
    registry = EngineRegistry(cast(Any, None))
    registry.get = cast(Any, lambda engine_id: Log())  # pyright: ignore[reportUnknownLambdaType]
    settings = ExecutorSettings.model_construct(log_max_bytes=1 << 20, engine_timeout_seconds=5.0)
    keeper = LogKeeper(cast(Any, NoDatabase()), registry, Secrets(), blobs, settings, list)
    keeper._done = record_done  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    await keeper._keep(copy)  # pyright: ignore[reportPrivateUsage]
    assert done == [copy]
    assert gzip.decompress(await blobs.read(f"{copy.folder}/{0:016d}.gz")) == content
    assert await blobs.read(f"{copy.folder}/end.json") == b'{"bytes": 140, "truncated": false}'
