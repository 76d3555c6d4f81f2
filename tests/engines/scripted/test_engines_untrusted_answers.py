"""What an engine answers is judged before it is believed: nothing it says may break the executor or mislead it."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_executor.engines.port import EngineUnavailable, Observation, Phase, Submission, Watched
from signalbox_executor.engines.result import read_result
from signalbox_executor.engines.scripted import adapter
from signalbox_executor.engines.scripted.adapter import ScriptedEngine


@asynccontextmanager
async def answering(answer: Any) -> AsyncGenerator[ScriptedEngine]:
    """An adapter whose engine is this function."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    engine = ScriptedEngine(f"http://127.0.0.1:{runner.addresses[0][1]}", timeout_seconds=5)
    try:
        yield engine
    finally:
        await engine.close()
        await runner.cleanup()


def saying(status: int, text: str, **headers: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return answer


def runs_with_k(**fields: Any) -> str:
    return json.dumps({"runs": {"k": {"handle": "h", "phase": "running", **fields}}})


WORK = Submission(run_key="k", task_id=UUID(int=1), attempt=1, work=ScriptedWork())


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, "not json"),
        (200, "[]"),
        (200, '{"runs": {"k": {"handle": "h"}}}'),
        (200, runs_with_k(phase="exploded")),
        (200, runs_with_k(phase="succeeded")),
        (200, runs_with_k(handle="")),
        (200, runs_with_k(handle="h" * 1025)),
        (200, runs_with_k(exit_code=10**12)),
        (200, runs_with_k(started_at=1e300)),
        (404, "{}"),
        (500, "{}"),
        (302, "{}"),
        (429, "soon"),
        (429, '{"retry_after_seconds": 1e9}'),
    ],
)
async def test_an_observation_that_makes_no_sense_is_no_observation(status: int, text: str) -> None:
    async with answering(saying(status, text, Location="http://127.0.0.1:1/")) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.observe([Watched("k", 1)])


@pytest.mark.parametrize("text", ["", "{}", '{"handle": 3}', '{"handle": ""}', json.dumps({"handle": "h" * 2000})])
async def test_a_submit_without_a_usable_handle_is_unclear_and_not_refused(text: str) -> None:
    async with answering(saying(201, text)) as engine:
        with pytest.raises(EngineUnavailable) as unavailable:
            await engine.submit(WORK)
        assert unavailable.value.may_have_arrived


async def test_long_messages_are_cut_and_runs_nobody_asked_for_are_left_out() -> None:
    runs = {"k": {"handle": "h", "phase": "running", "message": "x" * 9000}, "other": {"handle": "o", "phase": "lost"}}
    async with answering(saying(200, json.dumps({"runs": runs}))) as engine:
        seen = await engine.observe([Watched("k", 1)])
    assert list(seen) == ["k"]
    assert len(seen["k"].message) == 2000


async def test_an_answer_that_is_too_long_is_asked_for_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand ended runs may each bring a result; without it the engine could never be observed again."""
    monkeypatch.setattr(adapter, "MAX_BYTES", 5000)
    page_sizes: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        keys: list[str] = json.loads(await request.read())["run_keys"]
        page_sizes.append(len(keys))
        return web.json_response({"runs": {key: {"handle": "h" * 1000, "phase": "running"} for key in keys}})

    async with answering(answer) as engine:
        seen = await engine.observe([Watched(f"k{number}", 1) for number in range(8)])
        assert len(seen) == 8
        assert page_sizes == [8, 4, 4]
        monkeypatch.setattr(adapter, "MAX_BYTES", 500)
        with pytest.raises(EngineUnavailable, match="more than 500 bytes"):
            await engine.observe([Watched("k", 1)])


@pytest.mark.parametrize("text", ['"\\ud800"', "1" * 5000 + "x", '{"a": Infinity}', "\xff"])
def test_text_that_is_no_json_is_no_result(text: str) -> None:
    with pytest.raises(ValueError, match="the result is no JSON"):
        read_result(text.encode("latin-1"))


def test_a_result_that_grows_when_it_is_written_out_is_too_large() -> None:
    with pytest.raises(ValueError, match="takes 52001 bytes as JSON"):
        read_result(("[" + ",".join(["1e9"] * 4000) + "]").encode())


def test_an_observation_cannot_be_made_that_contradicts_itself() -> None:
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="an end has a cause"):
        Observation(run_key="k", phase=Phase.SUCCEEDED, handle="h", at=now)
    with pytest.raises(ValueError, match="at most 16384"):
        Observation(run_key="k", phase=Phase.RUNNING, handle="h", at=now, result="x" * 20_000)
    with pytest.raises(ValueError, match="at most 2000"):
        Observation(run_key="k", phase=Phase.RUNNING, handle="h", at=now, message="x" * 2001)
