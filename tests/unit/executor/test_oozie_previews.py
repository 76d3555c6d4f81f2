"""What an Oozie engine reads for previews of clean-ups, and how it signs in with Kerberos."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import spnego
from aiohttp import web
from yarl import URL

from signalbox_executor.engines.oozie.outputs import OutputsUnknown, dry_run
from signalbox_executor.engines.oozie.spnego import Spnego
from signalbox_executor.engines.oozie.storage import Storage
from signalbox_executor.engines.port import EngineUnavailable

DATASET = (
    '<dataset name="clean" frequency="{every}" initial-instance="2026-01-01T00:00Z" timezone="{zone}"'
    ' freq_timeunit="{unit}"><uri-template>{template}</uri-template></dataset>'
)
APP = (
    '<coordinator-app xmlns="uri:oozie:coordinator:0.5"><output-events><data-out name="o">{dataset}'
    "<instance>{instance}</instance></data-out></output-events></coordinator-app>\n***actions for instance"
    '***action for new instance<coordinator-app xmlns="uri:oozie:coordinator:0.5" '
    'action-nominal-time="2026-01-02T00:00Z"><output-events><data-out name="o"><uris>{uris}</uris></data-out>'
    "</output-events></coordinator-app>"
)


def dry_run_text(
    *, every: int = 1, unit: str = "DAY", zone: str = "UTC", instance: str = "${coord:current(0)}", uris: str = "x",
    template: str = "file:///o/${YEAR}-${MONTH}-${DAY}",
) -> str:  # fmt: skip
    """The text Oozie answers to the dry run of a coordinator with one output, shortened from 5.2.1."""
    dataset = DATASET.format(every=every, unit=unit, zone=zone, template=template)
    return APP.format(dataset=dataset, instance=instance, uris=uris)


def test_the_output_directories_of_each_action_follow_from_a_dry_run() -> None:
    found = dry_run(dry_run_text(uris="file:///o/2026-01-02"))
    assert (found.first_directories, found.directories(found.first_at)) == (("file:///o/2026-01-02",),) * 2
    assert found.directories(datetime(2026, 3, 28, tzinfo=UTC)) == ("file:///o/2026-03-28",)
    hours = dry_run(dry_run_text(every=60, unit="MINUTE", template="hdfs:///o/${DAY}/${HOUR}"))
    assert hours.directories(datetime(2026, 1, 3, 7, 30, tzinfo=UTC)) == ("hdfs:///o/03/07",)
    day_before = dry_run(dry_run_text(instance="${coord:current(-1)}"))
    assert day_before.directories(datetime(2026, 1, 3, tzinfo=UTC)) == ("file:///o/2026-01-02",)
    assert day_before.directories(datetime(2026, 1, 1, tzinfo=UTC)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "OK",
        "<!DOCTYPE a []>" + dry_run_text(),
        dry_run_text().replace("</coordinator-app>", ""),
        dry_run_text(instance="${coord:latest(0)}"),
        dry_run_text(unit="MONTH"),
        dry_run_text(zone="Europe/Berlin"),
    ],
)
def test_what_cannot_be_read_or_computed_is_unknown(text: str) -> None:
    with pytest.raises(OutputsUnknown):
        dry_run(text)


def test_a_directory_with_another_expression_is_unknown() -> None:
    found = dry_run(dry_run_text(template="file:///o/${YEAR}/${coord:user()}"))
    with pytest.raises(OutputsUnknown, match="not a date"):
        found.directories(found.first_at)


async def test_a_local_directory_is_described_only_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "old").write_text("1234")
    (tmp_path / "sub" / "new").write_text("123456")
    os.utime(tmp_path / "old", (0, 0))
    (tmp_path / "link").symlink_to("/etc/passwd")
    allowed = Storage(session=aiohttp.ClientSession, local_files=True)
    line = await allowed.describe(tmp_path.as_uri())
    assert line.startswith("2 files, 10 bytes, the newest is sub/new of 20")
    assert await allowed.describe((tmp_path / "nothing").as_uri()) == "does not exist"
    closed = await Storage(session=aiohttp.ClientSession).describe(tmp_path.as_uri())
    assert closed == "its content is not known: the engine's connection has no access to it"


async def test_a_directory_of_hdfs_is_described_by_webhdfs() -> None:
    """Many files, endless directories and broken answers; what a real HDFS answers is in the tests of the engine."""
    async with _webhdfs() as url:
        storage = Storage(session=aiohttp.ClientSession, webhdfs_url=url, user="alice")
        line = await storage.describe("hdfs://nn/out/2026")
        assert line == "3 files, 77 bytes, the newest is part-1 of 2026-01-01T00:00:00Z"
        assert "the newest is part-19999" in await storage.describe("hdfs://nn/many")
        assert "the newest in 200 directories is file of 2026" in await storage.describe("hdfs://nn/endless")
        assert await storage.describe("hdfs://nn/nothing") == "does not exist"
        assert (await storage.describe("hdfs://nn/broken")).startswith("its content cannot be read: ValidationError")


@asynccontextmanager
async def _webhdfs() -> AsyncGenerator[str]:
    async def answer(request: web.Request) -> web.Response:
        assert request.query["user.name"] == "alice"
        if request.path.endswith("/nothing"):
            return web.json_response({"RemoteException": {"exception": "FileNotFoundException"}}, status=404)
        if request.path.endswith("/broken"):
            return web.json_response({})
        if request.query["op"] == "GETCONTENTSUMMARY":
            return web.json_response({"ContentSummary": {"directoryCount": 1, "fileCount": 3, "length": 77}})
        if request.path.endswith("/many"):
            files = [{"pathSuffix": f"part-{n:05}", "modificationTime": n, "type": "FILE"} for n in range(20_000)]
            return web.json_response({"FileStatuses": {"FileStatus": files}})
        if "/endless" in request.path:
            below = {"pathSuffix": "sub", "modificationTime": 0, "type": "DIRECTORY"}
            file = {"pathSuffix": "file", "modificationTime": 1767225600000, "type": "FILE"}
            return web.json_response({"FileStatuses": {"FileStatus": [below, file]}})
        files = [{"pathSuffix": f"part-{n}", "modificationTime": 1767225600000 * n, "type": "FILE"} for n in (0, 1)]
        return web.json_response({"FileStatuses": {"FileStatus": files}})

    app = web.Application()
    app.router.add_get("/webhdfs/v1/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_kerberos_token_of_the_library_goes_with_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the library's client: no key distribution centre was run."""
    made: list[Any] = []

    def client(*words: Any, **named: Any) -> Any:
        made.append((words, named))
        return SimpleNamespace(step=lambda: b"ticket")

    monkeypatch.setattr(spnego, "client", client)
    headers = await Spnego("ooz", "alice", "secret").headers(URL("http://oozie.example:11000/oozie"))
    assert headers == {"Authorization": "Negotiate dGlja2V0"}
    assert made == [(("alice", "secret"), {"hostname": "oozie.example", "service": "HTTP", "protocol": "kerberos"})]
    assert "secret" not in repr(Spnego("ooz", "alice", "secret"))


async def test_without_a_ticket_the_engine_is_unreachable_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def client(*_: Any, **__: Any) -> Any:
        raise ImportError("no gssapi library")

    monkeypatch.setattr(spnego, "client", client)
    with pytest.raises(EngineUnavailable, match="no Kerberos ticket for HTTP/oozie: no gssapi library") as error:
        await asyncio.wait_for(Spnego("ooz").headers(URL("http://oozie:1/")), 10)
    assert not error.value.may_have_arrived
