"""What each kind of check finds, on real servers where there is one: HTTP, TCP, PostgreSQL, files, processes, S3.

HDFS is what a real NameNode 3.3.6 with one DataNode answered to `/jmx?qry=…FSNamesystemState`, in service and in safe
mode, without the counts of its users' calls. `tests/engines/oozie/test_engines_oozie_hdfs.py` checks a running one.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from pydantic import TypeAdapter

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.work import Check, CheckWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.check.kind import open_engine
from signalbox_executor.engines.check.probes import InvalidCheck, Limits, NotReady, probe
from signalbox_executor.engines.check.program import ask
from signalbox_executor.engines.kind import EngineContext
from signalbox_executor.engines.port import ENDS, Submission, Watched
from signalbox_executor.engines.process.settings import ProcessEngineSettings
from signalbox_executor.secrets import Secrets
from signalbox_executor.settings import ExecutorSettings
from support.ceph import Ceph
from support.service_fixture import until

CHECK: TypeAdapter[Any] = TypeAdapter(Check)
HERE = EgressGuard("127.0.0.1,localhost")
NAMENODE_ANSWERS = Path(__file__).with_name("namenode_answers")


@pytest.fixture
async def site() -> AsyncGenerator[BaseTestServer]:
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/health":
                return web.Response(text="status: ok")
            case "/operational/jmx" | "/safe-mode/jmx":
                assert request.query_string.endswith("FSNamesystemState")
                return web.FileResponse(NAMENODE_ANSWERS / f"{request.path.split('/')[1]}-3.3.6.json")
            case "/other/jmx":
                return web.Response(text='{"beans": [{"NumLiveDataNodes": "two"}]}')
            case "/large/jmx":
                return web.Response(body=b"[" * 2_000_000)
            case "/away":
                raise web.HTTPFound("http://169.254.169.254/latest/meta-data")
            case _:
                return web.Response(status=503)

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield server


def limits(*folders: Path) -> Limits:
    return Limits(guard=HERE, folders=folders)


async def no(check: dict[str, Any], allowed: Limits | None = None) -> str:
    """Why the answer is no."""
    with pytest.raises(NotReady) as why:
        await probe(CHECK.validate_python(check), allowed or limits())
    return str(why.value)


async def yes(check: dict[str, Any], allowed: Limits | None = None) -> str:
    return await probe(CHECK.validate_python(check), allowed or limits())


async def test_http_and_a_name_node_are_asked_and_never_beyond_what_the_guard_allows(site: BaseTestServer) -> None:
    url = str(site.make_url("")).rstrip("/")
    assert await yes({"type": "http", "url": f"{url}/health", "contains": "ok"}) == "it answered 200"
    assert await yes({"type": "http", "url": f"{url}/down", "status": [503]}) == "it answered 503"
    assert "503: allowed is 200 to 299" in await no({"type": "http", "url": f"{url}/down"})
    assert "do not contain 'ready'" in await no({"type": "http", "url": f"{url}/health", "contains": "ready"})
    assert "cloud metadata" in await no({"type": "http", "url": f"{url}/away"})
    with pytest.raises(InvalidCheck, match="link-local"):
        await yes({"type": "http", "url": "http://169.254.169.254/"})

    up = {"type": "namenode", "url": f"{url}/operational"}
    assert "1 DataNodes live" in await yes({**up, "url": f"{url}/operational/"})
    assert await no({**up, "min_live_datanodes": 2}) == "1 DataNodes live: 2 are needed"
    assert "'safeMode'" in await no({"type": "namenode", "url": f"{url}/safe-mode"})
    assert await yes({"type": "namenode", "url": f"{url}/safe-mode", "allow_safe_mode": True})
    assert "no bean" in await no({"type": "namenode", "url": f"{url}/other"})
    assert "more than" in await no({"type": "namenode", "url": f"{url}/large"})


async def test_postgres_is_ready_without_a_password_and_another_server_is_not(
    postgres_url: str, site: BaseTestServer
) -> None:
    server = urlsplit(postgres_url)
    assert "accepts connections" in await yes({"type": "postgres", "host": server.hostname, "port": server.port})
    assert "accepts connections" in await yes({"type": "tcp", "host": server.hostname, "port": server.port})
    assert await no({"type": "postgres", "host": "127.0.0.1", "port": site.port})
    assert "link-local" in await no({"type": "tcp", "host": "169.254.169.254", "port": 80})

    async def starting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        body = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"
        writer.write(b"E" + (len(body) + 4).to_bytes(4, "big") + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(starting, "127.0.0.1", 0) as booting:
        port = booting.sockets[0].getsockname()[1]
        assert "starting up" in await no({"type": "postgres", "host": "127.0.0.1", "port": port})


async def test_files_and_processes_are_seen_only_below_what_the_operator_allows(tmp_path: Path) -> None:
    allowed = limits(tmp_path / "in")
    (tmp_path / "in").mkdir()
    file, outside = tmp_path / "in" / "day.csv", tmp_path / "secret"
    outside.write_text("x")
    assert "is not there" in await no({"type": "file", "path": str(file)}, allowed)
    file.write_text("1,2,3")
    assert "5 bytes" in await yes({"type": "file", "path": str(file), "min_bytes": 5}, allowed)
    assert "6 are needed" in await no({"type": "file", "path": str(file), "min_bytes": 6}, allowed)
    (tmp_path / "in" / "link").symlink_to(outside)
    for path in (outside, tmp_path / "in" / "link", Path("in/day.csv")):
        with pytest.raises(InvalidCheck, match="is not allowed"):
            await yes({"type": "file", "path": str(path)}, allowed)

    pid, code = tmp_path / "in" / "pid", tmp_path / "in" / "code"
    check = {"type": "process", "pid_file": str(pid), "exit_code_file": str(code)}
    assert "no process number" in await no(check, allowed)
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    pid.write_text(str(os.getpid()))
    assert "is alive" in await yes(check, allowed)
    await ended.wait()
    pid.write_text(str(ended.pid))
    assert "is not alive" in await no(check, allowed)
    code.write_text("3\n")
    assert "exit code 3" in await no(check, allowed)
    code.write_text("0\n")
    assert "exit code 0" in await yes(check, allowed)


async def test_a_check_is_asked_again_until_it_is_true_or_its_time_is_over(tmp_path: Path) -> None:
    file = tmp_path / "late"
    work = CheckWork.model_validate(
        {"check": {"type": "file", "path": str(file)}, "wait_seconds": 30, "every_seconds": 0.1}
    )
    asking = asyncio.create_task(ask(work, limits(tmp_path)))
    await asyncio.sleep(0)
    (tmp_path / "written").write_text("x")
    (tmp_path / "written").rename(file)
    ready, found, _ = await asking
    assert (ready, found) == (True, f"{file} is there, 1 bytes")
    file.unlink()
    assert await ask(work.model_copy(update={"wait_seconds": 0.0}), limits(tmp_path)) == (
        False, f"{file} is not there", 1
    )  # fmt: skip


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
async def test_a_host_that_no_name_server_can_be_asked_for_is_refused(host: str) -> None:
    """Without it the check's program ends with a traceback, and its task says `ended with exit code 1`."""
    for kind in ("tcp", "postgres"):
        with pytest.raises(InvalidCheck, match="between two dots") as refused:
            await probe(CHECK.validate_python({"type": kind, "host": host, "port": 1}), limits())
        assert refused.value.field == "check.host"


async def test_a_check_ends_although_a_file_it_read_never_answers(tmp_path: Path) -> None:
    """Without it a pipe in place of a file, or a network drive that hangs, keeps the task RUNNING for ever."""
    os.mkfifo(tmp_path / "pid")
    work = CheckWork(check=CHECK.validate_python({"type": "process", "pid_file": str(tmp_path / "pid")}),
                     timeout_seconds=0.2)  # fmt: skip
    wanted = json.dumps({"work": work.model_dump(mode="json"), "allow": "", "folders": [str(tmp_path)]})
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signalbox_executor.engines.check.program", wanted,
        env={**os.environ, "SIGNALBOX_RESULT": str(tmp_path / "result")}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert await asyncio.wait_for(program.wait(), 60) == 1
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert json.loads((tmp_path / "result").read_text())["found"] == "no answer within 0.2 s"


async def test_an_operators_aws_variables_keep_no_check_of_an_object_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a configuration file for other programs makes every such check be refused, whatever is allowed."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    settings = ExecutorSettings.model_construct(host_id="here", egress_allow="")
    process = ProcessEngineSettings(
        process_folder=str(tmp_path / "processes"), process_user="0" if os.geteuid() == 0 else ""
    )
    context = EngineContext(
        settings=settings, guard=HERE, secrets=Secrets(), clock=SystemClock(),
        engine_settings={ProcessEngineSettings: process},
    )  # fmt: skip
    definition = Engine.model_validate({"id": "checks", "name": "checks", "connection": {"kind": "check"}})
    engine = await open_engine(definition, context)
    work = CheckWork(check=CHECK.validate_python({"type": "s3", "url": "s3://bucket/key"}))
    task = uuid4()
    run = Watched(run_key(task, 1), 1)
    try:
        await engine.submit(Submission(run_key=run.run_key, task_id=task, attempt=1, work=work))

        async def ended() -> bool:
            return (await engine.observe([run]))[run.run_key].phase in ENDS

        await until(ended, seconds=60, why="the check ends although the file never answers")
    finally:
        await engine.close()


@pytest.mark.s3
async def test_an_object_in_s3_is_there_or_not(ceph: Ceph, monkeypatch: pytest.MonkeyPatch) -> None:
    ceph.make_bucket("checks")
    variables = {
        "AWS_ENDPOINT_URL": ceph.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ceph.options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": ceph.options["secret_access_key"],
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert "is not there" in await no({"type": "s3", "url": "s3://checks/absent/key"})
    await Blobs("s3://checks/days", **ceph.options).write("day.json", json.dumps({"rows": 3}).encode())
    assert "11 bytes" in await yes({"type": "s3", "url": "s3://checks/days/day.json", "min_bytes": 11})
    assert "12 are needed" in await no({"type": "s3", "url": "s3://checks/days/day.json", "min_bytes": 12})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert await no({"type": "s3", "url": "s3://checks/days/day.json"})
    with pytest.raises(InvalidCheck, match="s3://bucket/key"):
        await yes({"type": "s3", "url": "s3://no-key"})
