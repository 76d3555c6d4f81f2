"""What Oozie may answer for one job while it answers well for the others, against a stand-in."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import aiohttp
import pytest

from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.oozie.job_control import cut_text
from signalbox_executor.engines.oozie.observation import END_TRIES
from signalbox_executor.engines.oozie.rest import OozieRest
from signalbox_executor.engines.port import EngineUnavailable, Observation, Submission, Watched

TIME = "Thu, 01 Jan 2026 00:00:00 GMT"
HEADERS = b"HTTP/1.1 %d OK\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n"


class Oozie:
    """Jobs by id. `details` is the body of the answer for one job, `refusals` are status and headers by path."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.details: dict[str, bytes] = {}
        self.refusals: dict[str, tuple[int, bytes]] = {}
        self.submitted = b""

    def workflow(self, number: int, status: str, **more: Any) -> Watched:
        id = f"{number:07d}-260101000000000-oozie-W"
        self.jobs[id] = {"id": id, "status": status, "run": 0, "startTime": TIME, **more}
        return Watched(f"sb-{number}", 1, id)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        url = urlsplit(request.split()[1].decode())
        status, headers, body = self.answer(url.path.removeprefix("/oozie/v2/"), parse_qs(url.query))
        writer.write(HEADERS % (status, len(body), headers) + body)
        await writer.drain()
        writer.close()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes, bytes]:
        if path in self.refusals:
            return *self.refusals[path], b""
        if path == "jobs" and "filter" not in query:
            return 201, b"", self.submitted
        if path == "jobs":
            ids = [part.removeprefix("id=") for part in query["filter"][0].split(";")]
            found = [self.jobs[id] for id in ids if id in self.jobs]
            return 200, b"", json.dumps({"total": len(found), "workflows": found}).encode()
        id = path.removeprefix("job/")
        if id in self.details:
            return 200, b"", self.details[id]
        actions = [{"name": "end", "type": ":KILL:", "status": "OK", "errorMessage": "no rows"}]
        if id in self.jobs:
            return 200, b"", json.dumps({**self.jobs[id], "actions": actions}).encode()
        return 400, b"oozie-error-code: E0604\r\n", b""


@asynccontextmanager
async def opened(oozie: Oozie) -> AsyncGenerator[OozieEngine]:
    server = await asyncio.start_server(oozie.handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    rest = OozieRest("oozie-prod", url, session=aiohttp.ClientSession, user="ann")
    engine = OozieEngine(rest, cast("Any", None))
    try:
        yield engine
    finally:
        await engine.close()
        server.close()


async def observed(engine: OozieEngine, *runs: Watched) -> dict[str, Observation]:
    return dict(await engine.observe(runs))


async def test_a_state_that_nobody_knows_hides_no_other_run() -> None:
    """Without it one workflow in such a state lets the details server count as silent, for ever."""
    oozie = Oozie()
    odd, failed = oozie.workflow(1, "HIBERNATING"), oozie.workflow(2, "KILLED")
    async with opened(oozie) as engine:
        seen = await observed(engine, odd, failed)
        assert {key: (one.phase, one.message) for key, one in seen.items()} == {"sb-2": (Phase.FAILED, "end: no rows")}


@pytest.mark.parametrize("details", [b"<html>busy</html>", b'{"id": "x"}', b'{"status": "KILLED", "actions": [{}]}'])
async def test_an_end_that_cannot_be_read_hides_no_other_and_is_reported_without_its_reason(details: bytes) -> None:
    oozie = Oozie()
    odd, runs = oozie.workflow(1, "KILLED"), oozie.workflow(2, "RUNNING")
    oozie.details[str(odd.handle)] = details
    async with opened(oozie) as engine:
        for _ in range(END_TRIES - 1):
            seen = await observed(engine, odd, runs)
            assert [seen[key].phase for key in ("sb-1", "sb-2")] == [Phase.RUNNING, Phase.RUNNING]
        seen = await observed(engine, odd, runs)
        assert (seen["sb-1"].phase, seen["sb-1"].cause) == (Phase.KILLED, EndCause.KILLED)
        assert "how it ended cannot be read" in seen["sb-1"].message


async def test_a_child_that_cannot_be_read_leaves_the_reason_of_its_parent() -> None:
    oozie = Oozie()
    parent, child = oozie.workflow(1, "FAILED"), oozie.workflow(2, "FAILED")
    node = {"name": "load", "type": "sub-workflow", "status": "ERROR", "errorMessage": "it broke"}
    oozie.details[str(parent.handle)] = json.dumps(
        {**oozie.jobs[str(parent.handle)], "actions": [{**node, "externalId": child.handle}]}
    ).encode()
    oozie.refusals[f"job/{child.handle}"] = (500, b"")
    async with opened(oozie) as engine:
        end = (await observed(engine, parent))["sb-1"]
        assert "it broke; child 0000002-260101000000000-oozie-W: it cannot be read" in end.message


async def test_actions_of_a_coordinator_that_cannot_be_read_hide_no_other_run() -> None:
    oozie = Oozie()
    other = oozie.workflow(2, "RUNNING")
    action = Watched("sb-1", 1, "0000001-260101000000000-oozie-C@7")
    oozie.refusals |= {"job/0000001-260101000000000-oozie-C": (500, b""), f"job/{action.handle}": (500, b"")}
    async with opened(oozie) as engine:
        assert set(await observed(engine, action, other)) == {"sb-2"}
        with pytest.raises(EngineUnavailable):
            await observed(engine, action)


async def test_one_action_that_cannot_be_read_hides_no_other_of_its_coordinator() -> None:
    oozie = Oozie()
    job = "0000001-260101000000000-oozie-C"
    good: dict[str, Any] = {"id": f"{job}@1", "actionNumber": 1, "status": "WAITING"}
    bad = {"id": f"{job}@2", "actionNumber": -2, "status": "WAITING"}
    oozie.details[job] = json.dumps({"coordJobId": job, "status": "RUNNING", "actions": [good, bad]}).encode()
    oozie.details |= {f"{job}@1": json.dumps(good).encode(), f"{job}@2": json.dumps(bad).encode()}
    async with opened(oozie) as engine:
        seen = await observed(engine, Watched("sb-1", 1, f"{job}@1"), Watched("sb-2", 1, f"{job}@2"))
        assert {key: one.phase for key, one in seen.items()} == {"sb-1": Phase.SUBMITTED}


async def test_a_time_that_is_out_of_the_calendar_hides_no_other_run() -> None:
    oozie = Oozie()
    odd = oozie.workflow(1, "RUNNING", startTime="Fri, 31 Dec 9999 23:59:59 -0800")
    async with opened(oozie) as engine:
        seen = await observed(engine, odd, oozie.workflow(2, "RUNNING"))
        assert seen["sb-2"].phase is Phase.RUNNING


@pytest.mark.parametrize("id", ["0000001-260101000000000-oozie-W", 17])
async def test_a_run_whose_entry_cannot_be_read_is_not_lost(id: object) -> None:
    """LOST would try it again beside the run that goes on."""
    oozie = Oozie()
    odd, other = oozie.workflow(1, "RUNNING", id=id, run="none"), oozie.workflow(2, "RUNNING")
    gone = Watched("sb-3", 1, "0000003-260101000000000-oozie-W")
    async with opened(oozie) as engine:
        seen = await observed(engine, odd, other)
        assert {key: one.phase for key, one in seen.items()} == {"sb-2": Phase.RUNNING}
        seen = await observed(engine, other, gone)
        assert {key: one.phase for key, one in seen.items()} == {"sb-2": Phase.RUNNING, "sb-3": Phase.LOST}


async def test_an_error_in_a_servers_own_letters_can_be_stored() -> None:
    """Oozie's errors come in a header, in ISO 8859-1: what is no UTF-8 cannot be stored as it comes."""
    oozie = Oozie()
    oozie.refusals["jobs"] = (500, "oozie-error-message: läuft nicht\r\n".encode("iso-8859-1"))
    async with opened(oozie) as engine:
        with pytest.raises(EngineUnavailable) as error:
            await observed(engine, oozie.workflow(1, "RUNNING"))
    assert str(error.value).encode().endswith(b"l?uft nicht")


def test_a_log_is_cut_to_what_one_message_carries() -> None:
    long = "\N{CJK UNIFIED IDEOGRAPH-6570}" * 120_000 + "end"
    shown = cut_text(long, keep_end=True)
    assert long.endswith(shown)
    assert 40_000 < len(shown) < 100_000
    assert cut_text("short", keep_end=False) == "short"


@pytest.mark.parametrize("answer", [b"{}", b'{"id": "a\\u0000b"}', b'{"id": 7}', b"<html>", b'{"id": null}'])
async def test_a_submit_that_is_answered_without_an_id_has_no_handle(answer: bytes) -> None:
    """Such a handle cannot be stored, nor can those that other submits recorded in the same moment."""
    oozie = Oozie()
    oozie.submitted = answer
    work = OozieWork(mode="submit", object="coordinator", application_path="hdfs:///daily")
    async with opened(oozie) as engine:
        with pytest.raises(EngineUnavailable) as error:
            await engine.submit(Submission(run_key="sb-1", task_id=UUID(int=1), attempt=1, work=work))
    assert error.value.may_have_arrived
