"""The scripted engine: every word of a script does what it says, and what was answered survives a kill."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from engines.harness import until, watched
from engines.scripted.harness import ScriptedServer, ask_server
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.capabilities import Seals
from signalbox_executor.engines.port import (
    ENDS,
    EndCause,
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Identity,
    Observation,
    Phase,
    Submission,
)
from signalbox_executor.engines.scripted.adapter import ScriptedCopies, ScriptedEngine


def scripted(**script: Any) -> Submission:
    task_id: UUID = uuid4()
    return Submission(run_key=run_key(task_id, 1), task_id=task_id, attempt=1, work=ScriptedWork(script=script))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedServer]:
    with ScriptedServer(tmp_path_factory.mktemp("scripted")) as server:
        yield server


@pytest.fixture
async def engine(server: ScriptedServer) -> AsyncGenerator[ScriptedEngine]:
    engine = ScriptedEngine(server.url)
    yield engine
    await engine.close()


async def look(engine: ScriptedEngine, of: Submission) -> Observation:
    return (await engine.observe([watched(of)]))[of.run_key]


async def reaches(engine: ScriptedEngine, of: Submission, *phases: Phase) -> Observation:
    async def there() -> bool:
        return (await look(engine, of)).phase in phases

    await until(there, f"one of {phases}")
    return await look(engine, of)


async def starts(server: ScriptedServer, of: Submission) -> int:
    return len((await ask_server(server.url, "/starts"))["starts"].get(of.run_key, ()))


async def test_a_run_is_pending_then_runs_then_ends(engine: ScriptedEngine, server: ScriptedServer) -> None:
    submission = scripted(pending_seconds=3, held=True, run_seconds=3.2, result={"n": 1}, message="all well")
    await engine.submit(submission)
    assert (await look(engine, submission)).phase is Phase.SUBMITTED
    await reaches(engine, submission, Phase.RUNNING)
    await ask_server(server.url, f"/runs/{submission.run_key}/release", {})
    seen = await reaches(engine, submission, *ENDS)
    assert (seen.phase, seen.result, seen.message) == (Phase.SUCCEEDED, {"n": 1}, "all well")


async def test_a_failure_has_the_cause_the_script_names(engine: ScriptedEngine) -> None:
    submission = scripted(exit_code=9, cause="infrastructure", message="no room")
    await engine.submit(submission)
    seen = await look(engine, submission)
    assert (seen.phase, seen.cause, seen.exit_code, seen.message) == (
        Phase.FAILED,
        EndCause.INFRASTRUCTURE,
        9,
        "no room",
    )


async def test_throttling_says_how_long(engine: ScriptedEngine, server: ScriptedServer) -> None:
    submission = scripted(throttle=1, throttle_seconds=2.5)
    with pytest.raises(EngineThrottled) as throttled:
        await engine.submit(submission)
    assert throttled.value.retry_after_seconds == 2.5
    assert await starts(server, submission) == 0
    await engine.submit(submission)
    assert await starts(server, submission) == 1


async def test_a_refusal_names_its_reason_and_may_come_after_an_accepted_copy(engine: ScriptedEngine) -> None:
    with pytest.raises(EngineRefused, match="no such queue"):
        await engine.submit(scripted(refuse="no such queue"))
    late = scripted(refuse="no such queue", refuse_after=1, never_ends=True)
    await engine.submit(late)
    with pytest.raises(EngineRefused):
        await engine.submit(late)
    assert (await look(engine, late)).phase is Phase.RUNNING


async def test_lost_requests_start_nothing_and_lost_answers_do(engine: ScriptedEngine, server: ScriptedServer) -> None:
    unseen, answer_lost = scripted(lose_requests=1), scripted(lose_answers=2)
    for submission, times in ((unseen, 0), (answer_lost, 1), (answer_lost, 1)):
        with pytest.raises(EngineUnavailable) as unavailable:
            await engine.submit(submission)
        assert unavailable.value.may_have_arrived
        assert await starts(server, submission) == times
    for submission in (unseen, answer_lost):
        await engine.submit(submission)
        assert await starts(server, submission) == 1


async def test_an_answer_that_takes_too_long_is_no_answer(server: ScriptedServer) -> None:
    engine = ScriptedEngine(server.url, timeout_seconds=0.3)
    for script, times in (({"answer_delay_seconds": 5}, 1), ({"accept_delay_seconds": 5}, 0)):
        submission = scripted(**script)
        with pytest.raises(EngineUnavailable, match="Timeout"):
            await engine.submit(submission)

        async def arrived(submission: Submission = submission, times: int = times) -> bool:
            return await starts(server, submission) == times

        await until(arrived, f"{times} starts")
    await engine.close()


async def test_a_forgotten_key_is_lost_and_starts_again(engine: ScriptedEngine, server: ScriptedServer) -> None:
    submission = scripted(forget_at_end=True)
    await engine.submit(submission)
    assert (await look(engine, submission)).phase is Phase.LOST
    await engine.submit(submission)
    assert await starts(server, submission) == 2


async def test_cancels_may_be_ignored_and_take_time(engine: ScriptedEngine) -> None:
    submission = scripted(never_ends=True, ignore_cancels=2, stop_seconds=0.1)
    await engine.submit(submission)
    for _ in range(3):
        assert (await look(engine, submission)).phase is Phase.RUNNING
        await engine.cancel(watched(submission))
    assert (await reaches(engine, submission, *ENDS)).phase is Phase.KILLED


async def test_a_held_run_runs_until_it_is_released(engine: ScriptedEngine, server: ScriptedServer) -> None:
    submission = scripted(held=True, exit_code=1)
    await engine.submit(submission)
    assert (await look(engine, submission)).phase is Phase.RUNNING
    await ask_server(server.url, f"/runs/{submission.run_key}/release", {})
    assert (await look(engine, submission)).phase is Phase.FAILED


async def test_an_engine_that_is_down_answers_nothing_until_it_is_back(
    engine: ScriptedEngine, server: ScriptedServer
) -> None:
    submission = scripted(down_seconds=600)
    for call in (engine.submit(submission), engine.observe([watched(submission)]), engine.cancel(watched(submission))):
        with pytest.raises(EngineUnavailable):
            await call
    await ask_server(server.url, "/down", {"seconds": 0})
    await engine.submit(submission)
    await ask_server(server.url, "/down", {"seconds": 600})
    with pytest.raises(EngineUnavailable):
        await engine.observe([watched(submission)])
    await ask_server(server.url, "/down", {"seconds": 0})
    assert (await look(engine, submission)).phase is Phase.SUCCEEDED


async def test_an_unknown_word_in_a_script_is_refused_by_its_name(engine: ScriptedEngine) -> None:
    with pytest.raises(EngineRefused) as refused:
        await engine.submit(scripted(sleep=3))
    assert (refused.value.field, refused.value.value) == ("work.script.sleep", "3")


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """An engine that forgets an accepted start would make every exactly-once test worthless."""
    with ScriptedServer(tmp_path) as server:
        engine = ScriptedEngine(server.url)
        ended, cancelled, sealed = scripted(exit_code=5), scripted(never_ends=True), scripted()
        handles = [await engine.submit(ended), await engine.submit(cancelled)]
        await engine.cancel(watched(cancelled))
        assert await engine.seal(watched(sealed)) is None
        many = [scripted() for _ in range(60)]
        answers = asyncio.gather(*(engine.submit(one) for one in many), return_exceptions=True)
        await starts_reach(server, 30)
        server.kill()
        answered = dict(zip((one.run_key for one in many), await answers, strict=True))
        await engine.close()
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(b'{"is":"start","run_k')  # cut by the kill
    with ScriptedServer(tmp_path) as server:
        engine = ScriptedEngine(server.url)
        assert [await engine.submit(ended), await engine.submit(cancelled)] == handles
        assert ((await look(engine, ended)).exit_code, (await look(engine, cancelled)).phase) == (5, Phase.KILLED)
        with pytest.raises(EngineRefused):
            await engine.submit(sealed)
        seen = await engine.observe([watched(one) for one in many])
        handed_out = {key: handle for key, handle in answered.items() if isinstance(handle, str)}
        assert {key: seen[key].handle for key in handed_out} == handed_out
        await asyncio.gather(*(engine.submit(one) for one in many))
        assert [await starts(server, one) for one in (ended, cancelled, many[0], many[-1])] == [1] * 4
        await engine.close()


async def starts_reach(server: ScriptedServer, number: int) -> None:
    async def reached() -> bool:
        return (await ask_server(server.url, "/counts"))["starts"] >= number

    await until(reached, f"{number} starts")


def test_two_processes_never_share_a_folder(server: ScriptedServer) -> None:
    command = [sys.executable, "-m", "signalbox_executor.engines.scripted.server", "--folder", str(server.folder)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"another process uses {server.folder}\n"


async def test_ten_thousand_runs_are_observed_in_one_call(engine: ScriptedEngine, server: ScriptedServer) -> None:
    submissions = [scripted(never_ends=True) for _ in range(10_000)]
    before = (await ask_server(server.url, "/counts"))["calls"]
    waiting = iter(submissions)

    async def submit_some() -> None:
        for one in waiting:
            await engine.submit(one)

    await asyncio.gather(*(submit_some() for _ in range(50)))
    seen = await engine.observe([watched(one) for one in submissions])
    assert {run.phase for run in seen.values()} == {Phase.RUNNING}
    assert len({run.handle for run in seen.values()}) == 10_000
    after = (await ask_server(server.url, "/counts"))["calls"]
    assert after["submit"] - before.get("submit", 0) == 10_000
    assert after["observe"] - before.get("observe", 0) == 1


async def test_an_engine_that_cannot_tell_copies_apart_starts_each_and_knows_them_by_their_handles(
    server: ScriptedServer,
) -> None:
    engine, submission = ScriptedCopies(server.url), scripted(never_ends=True, log="on and on")
    try:
        assert engine.identity is Identity.NONE
        assert not isinstance(engine, Seals), "there is no key to seal"
        one, two = await engine.submit(submission), await engine.submit(submission)
        assert await starts(server, submission) == 2
        assert one != two
        assert (await engine.observe([watched(submission)]))[submission.run_key].phase is Phase.LOST, (
            "a key says nothing to it"
        )
        await engine.cancel(watched(submission))
        await engine.cancel(watched(submission, two))
        seen = [
            (await engine.observe([watched(submission, handle)]))[submission.run_key].phase for handle in (one, two)
        ]
        assert seen == [Phase.RUNNING, Phase.KILLED]
        assert (await engine.logs(watched(submission, one))).data == b"on and on"
        assert (await engine.logs(watched(submission))).data == b""
    finally:
        await engine.close()
