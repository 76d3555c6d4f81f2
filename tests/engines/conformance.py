"""The conformance suite: what the executor relies on, of every engine. One harness in, the same checks for all.

What only some engines can do is asked of those whose kind declares it.
"""

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace

import pytest

from engines.harness import EngineHarness, WorkRequest, new_submission, until, watched
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.vocabulary import RESULT_BYTES
from signalbox_executor.engines.capabilities import PROTOCOLS, Capability, FetchesLogs, NotifiesEnds, Seals
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
    Watched,
    is_link,
)


async def see(harness: EngineHarness, of: Submission, phases: Collection[Phase] = ENDS) -> Observation:
    """Observe until the run is in one of these phases."""
    seen: list[Observation] = []

    async def there() -> bool:
        seen.append((await harness.engine.observe([watched(of)]))[of.run_key])
        return seen[-1].phase in phases

    await until(there, f"{of.run_key} in one of {', '.join(phases)}", harness.deadline_seconds)
    return seen[-1]


async def see_running(harness: EngineHarness, of: Submission) -> Observation:
    """Observe until the run is said to run, and its program has left its stamp: between the two it may be killed."""
    seen = await see(harness, of, {Phase.RUNNING})

    async def began() -> bool:
        return await harness.starts(of.run_key) > 0

    await until(began, f"{of.run_key} began to run", harness.deadline_seconds)
    return seen


async def cancel_until_ended(harness: EngineHarness, of: Submission) -> Observation:
    """As the executor does it: ask, look, ask again."""

    async def ended() -> bool:
        await harness.engine.cancel(watched(of))
        return (await harness.engine.observe([watched(of)]))[of.run_key].phase in ENDS

    await until(ended, "the run ended after it was cancelled", harness.deadline_seconds)
    return await see(harness, of)


async def submit_as_executor(harness: EngineHarness, submission: Submission) -> str:
    """Submit until the engine settles it: as the executor, send again what got no answer, and come later if told to."""
    handles: list[str] = []

    async def settled() -> bool:
        nonlocal submission
        try:
            handles.append(await harness.engine.submit(submission))
        except EngineThrottled as throttled:
            await asyncio.sleep(throttled.retry_after_seconds)
        except EngineUnavailable as unavailable:
            if unavailable.may_have_arrived:
                if harness.engine.identity is Identity.NONE:
                    raise
                submission = replace(submission, resent=True)
        return bool(handles)

    await until(settled, f"the submit of {submission.run_key} is settled", harness.deadline_seconds)
    return handles[0]


def sealing(harness: EngineHarness) -> Seals:
    needs(harness, Capability.SEALS)
    assert isinstance(harness.engine, Seals)
    return harness.engine


def needs(harness: EngineHarness, capability: Capability) -> None:
    """Skip a test of what this kind of engine does not declare."""
    if not harness.has(capability):
        pytest.skip(f"{harness.kind} engines do not declare: {capability.value}")


def check_killed(harness: EngineHarness, seen: Observation) -> None:
    """Assert that the run ended because it was cancelled, as far as this engine can tell."""
    if harness.has(Capability.REPORTS_KILLED):
        assert (seen.phase, seen.cause) == (Phase.KILLED, EndCause.CANCELLED)
    else:
        assert seen.phase in ENDS
        assert seen.phase is not Phase.SUCCEEDED


class EngineConformance:
    """Subclass with a fixture `harness`."""

    async def test_the_adapter_has_what_its_kind_declares_and_nothing_else(self, harness: EngineHarness) -> None:
        """Without it the executor would call what is not there, or never use what is."""
        has = {capability for capability, protocol in PROTOCOLS.items() if isinstance(harness.engine, protocol)}
        assert has == harness.engine_kind.capabilities & PROTOCOLS.keys()

    async def test_each_observation_links_to_the_engines_own_page(self, harness: EngineHarness) -> None:
        needs(harness, Capability.LINKS)
        submission = new_submission(harness)
        await harness.engine.submit(submission)
        seen = await see(harness, submission)
        assert seen.handle_url is not None
        assert is_link(seen.handle_url)

    async def test_work_runs_and_succeeds(self, harness: EngineHarness) -> None:
        submission = new_submission(harness)
        handle = await harness.engine.submit(submission)
        seen = await see(harness, submission)
        assert (seen.phase, seen.cause, seen.handle) == (Phase.SUCCEEDED, EndCause.COMPLETED, handle)
        assert seen.exit_code == (0 if harness.has(Capability.EXIT_CODES) else None)
        assert seen.started_at is not None
        assert seen.ended_at is not None
        assert seen.started_at <= seen.ended_at

    async def test_five_submits_of_one_key_at_once_are_one_run(self, harness: EngineHarness) -> None:
        """Without it a slow worker and the one that took over start the work twice."""
        submission = new_submission(harness, WorkRequest(endless=True))
        handles = await asyncio.gather(*(submit_as_executor(harness, submission) for _ in range(5)))
        await see_running(harness, submission)
        assert len(set(handles)) == 1
        assert await harness.starts(submission.run_key) == 1

    async def test_a_submit_whose_answer_was_lost_is_adopted_by_the_next(self, harness: EngineHarness) -> None:
        submission = new_submission(harness, WorkRequest(endless=True, answer_is_lost=True))
        await harness.submit_without_answer(submission)
        handle = await harness.engine.submit(submission)
        assert (await see_running(harness, submission)).handle == handle
        assert await harness.starts(submission.run_key) == 1

    async def test_a_run_that_ended_is_adopted_and_not_started_again(self, harness: EngineHarness) -> None:
        submission = new_submission(harness, WorkRequest(exit_code=4))
        handle = await harness.engine.submit(submission)
        first = await see(harness, submission)
        assert await harness.engine.submit(submission) == handle
        again = await see(harness, submission)
        assert (again.phase, again.exit_code, again.ended_at) == (first.phase, first.exit_code, first.ended_at)
        assert await harness.starts(submission.run_key) == 1

    async def test_two_attempts_of_a_task_are_two_runs(self, harness: EngineHarness) -> None:
        first, second = new_submission(harness), new_submission(harness, attempt=2)
        handles = {await harness.engine.submit(first), await harness.engine.submit(second)}
        assert len(handles) == 2

    async def test_many_are_observed_in_one_call_and_unknown_keys_are_lost(self, harness: EngineHarness) -> None:
        ended, running, unknown = (
            new_submission(harness),
            new_submission(harness, WorkRequest(endless=True)),
            new_submission(harness),
        )
        await harness.engine.submit(ended)
        await harness.engine.submit(running)
        await see(harness, ended)
        await see(harness, running, {Phase.RUNNING})
        all_of_them = await harness.engine.observe([watched(of) for of in (ended, running, unknown)])
        assert {key: seen.phase for key, seen in all_of_them.items()} == {
            ended.run_key: Phase.SUCCEEDED,
            running.run_key: Phase.RUNNING,
            unknown.run_key: Phase.LOST,
        }
        assert await harness.engine.observe([]) == {}

    async def test_a_failure_has_its_exit_code_and_a_reason(self, harness: EngineHarness) -> None:
        submission = new_submission(harness, WorkRequest(exit_code=3))
        await harness.engine.submit(submission)
        seen = await see(harness, submission)
        assert (seen.phase, seen.cause) == (Phase.FAILED, EndCause.FAILED)
        assert seen.message
        if harness.has(Capability.EXIT_CODES):
            assert seen.exit_code == 3
            assert "3" in seen.message

    async def test_a_cancel_before_the_submit_does_not_keep_the_run_from_ending(self, harness: EngineHarness) -> None:
        submission = new_submission(harness, WorkRequest(endless=True))
        await harness.engine.cancel(watched(submission))
        await harness.engine.submit(submission)
        check_killed(harness, await cancel_until_ended(harness, submission))
        assert await harness.starts(submission.run_key) <= 1

    async def test_a_cancel_during_the_submit_ends_it(self, harness: EngineHarness) -> None:
        submission = new_submission(harness, WorkRequest(endless=True))
        await asyncio.gather(harness.engine.submit(submission), harness.engine.cancel(watched(submission)))
        check_killed(harness, await cancel_until_ended(harness, submission))

    async def test_a_cancelled_run_is_killed_and_a_late_submit_finds_it_so(self, harness: EngineHarness) -> None:
        """If a stop deleted the run, a late copy of its submit would start it again (an orphan)."""
        submission = new_submission(harness, WorkRequest(endless=True))
        handle = await harness.engine.submit(submission)
        await see_running(harness, submission)
        await harness.engine.cancel(watched(submission, handle))
        await harness.engine.cancel(watched(submission, handle))
        seen = await see(harness, submission)
        check_killed(harness, seen)
        assert await harness.engine.submit(submission) == handle
        check_killed(harness, await see(harness, submission))
        assert await harness.starts(submission.run_key) == 1

    async def test_a_cancel_after_the_end_changes_nothing(self, harness: EngineHarness) -> None:
        submission = new_submission(harness)
        await harness.engine.submit(submission)
        await see(harness, submission)
        await harness.engine.cancel(watched(submission))
        assert (await see(harness, submission)).phase is Phase.SUCCEEDED

    async def test_a_cancel_ends_no_other_run(self, harness: EngineHarness) -> None:
        mine, other = (
            new_submission(harness, WorkRequest(endless=True)),
            new_submission(harness, WorkRequest(endless=True)),
        )
        await asyncio.gather(harness.engine.submit(mine), harness.engine.submit(other))
        await cancel_until_ended(harness, mine)
        assert (await see(harness, other, {Phase.RUNNING, *ENDS})).phase is Phase.RUNNING

    async def test_a_sealed_key_never_starts(self, harness: EngineHarness) -> None:
        """Without it a task whose submit was refused once could never be said to be over."""
        engine, submission = sealing(harness), new_submission(harness)
        assert await engine.seal(watched(submission)) is None
        assert await engine.seal(watched(submission)) is None
        with pytest.raises(EngineRefused) as refused:
            await harness.engine.submit(submission)
        assert refused.value.sealed
        assert (await see(harness, submission, {Phase.LOST})).handle is None
        assert await harness.starts(submission.run_key) == 0

    async def test_a_seal_after_the_start_names_the_run_and_leaves_it_alone(self, harness: EngineHarness) -> None:
        engine, submission = sealing(harness), new_submission(harness, WorkRequest(endless=True))
        handle = await harness.engine.submit(submission)
        assert await engine.seal(watched(submission)) == handle
        assert await harness.engine.submit(submission) == handle
        assert (await see(harness, submission, {Phase.RUNNING, *ENDS})).phase is Phase.RUNNING

    async def test_seal_and_submit_at_once_agree_on_who_was_first(self, harness: EngineHarness) -> None:
        engine = sealing(harness)
        for _ in range(5):
            submission = new_submission(harness)
            submitted, sealed = await asyncio.gather(
                harness.engine.submit(submission), engine.seal(watched(submission)), return_exceptions=True
            )
            if sealed is None:
                assert isinstance(submitted, EngineRefused)
                assert await harness.starts(submission.run_key) == 0
            else:
                assert submitted == sealed
                await see(harness, submission, {Phase.SUCCEEDED})

    @pytest.mark.parametrize("result", ['{"rows": 12}', "[1, 2.5, null]", '"é"', "0", json.dumps("x" * 16_382)])
    async def test_a_result_is_handed_on(self, harness: EngineHarness, result: str) -> None:
        needs(harness, Capability.RESULTS)
        if len(result.encode()) > harness.max_result_bytes:
            pytest.skip(f"{harness.kind} engines keep {harness.max_result_bytes} bytes of a result")
        submission = new_submission(harness, WorkRequest(result=result))
        await harness.engine.submit(submission)
        seen = await see(harness, submission)
        assert (seen.phase, seen.result) == (Phase.SUCCEEDED, json.loads(result))

    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            (json.dumps("x" * 16_383), "has 16385 bytes: at most 16384"),
            ("{rows: 12}", "is no JSON"),
            ("", "is no JSON"),
            ("NaN", "is no JSON"),
            ("[" * 5000 + "]" * 5000, "is no JSON"),
        ],
    )
    async def test_a_result_that_cannot_be_handed_on_fails_the_attempt(
        self, harness: EngineHarness, result: str, reason: str
    ) -> None:
        needs(harness, Capability.RESULTS)
        if not result and not harness.keeps_empty_results:
            pytest.skip(f"{harness.kind} engines do not tell an empty result from none")
        submission = new_submission(harness, WorkRequest(result=result))
        await harness.engine.submit(submission)
        seen = await see(harness, submission)
        assert (seen.phase, seen.cause, seen.result) == (Phase.FAILED, EndCause.FAILED, None)
        cut = len(result.encode()) > harness.max_result_bytes < RESULT_BYTES
        assert ("bytes" if cut else reason) in seen.message

    async def test_logs_are_read_in_pieces(self, harness: EngineHarness) -> None:
        needs(harness, Capability.LOGS)
        assert isinstance(harness.engine, FetchesLogs)
        submission = new_submission(harness, WorkRequest(log="first line\nsecond line\n"))
        await harness.engine.submit(submission)
        await see(harness, submission)
        first = await harness.engine.logs(watched(submission), limit=6)
        rest = await harness.engine.logs(watched(submission), offset=first.next_offset)
        assert len(first.data) == 6
        if harness.plain_logs:
            assert (first.data, rest.data) == (b"first ", b"line\nsecond line\n")
        elif harness.logs_hold_output:
            log = first.data + rest.data
            assert 0 < log.index(b"first line\n") < log.index(b"second line\n")
        else:
            assert rest.data
        assert (await harness.engine.logs(watched(submission), offset=rest.next_offset)).data == b""
        assert (await harness.engine.logs(Watched("sb-unknown-1", 1))).data == b""

    async def test_a_run_is_over_when_its_end_is_noticed(self, harness: EngineHarness) -> None:
        needs(harness, Capability.END_NOTICES)
        assert isinstance(harness.engine, NotifiesEnds)
        noticed: list[str] = []
        harness.engine.on_end(noticed.append)
        submissions = [new_submission(harness, WorkRequest(exit_code=code)) for code in (0, 3)]
        for submission in submissions:
            await harness.engine.submit(submission)

        async def all_of_them() -> bool:
            return len(noticed) == len(submissions)

        await until(all_of_them, "each end is noticed", harness.deadline_seconds)
        seen = await harness.engine.observe([watched(submission) for submission in submissions])
        assert {key: one.phase for key, one in seen.items()} == dict(
            zip((one.run_key for one in submissions), (Phase.SUCCEEDED, Phase.FAILED), strict=True)
        )
        assert set(noticed) == set(seen)

    async def test_an_engine_out_of_reach_says_nothing_of_any_run(self, harness: EngineHarness) -> None:
        """ "Unreachable" read as "not found" would end tasks whose work runs on."""
        engine, submission = await harness.out_of_reach(), new_submission(harness)
        with pytest.raises(EngineUnavailable) as unavailable:
            await engine.submit(submission)
        assert not unavailable.value.may_have_arrived
        for call in (engine.observe([watched(submission)]), engine.cancel(watched(submission))):
            with pytest.raises(EngineUnavailable):
                await call
        await engine.close()
        assert await harness.starts(submission.run_key) == 0

    async def test_wrong_work_is_refused_with_the_field(self, harness: EngineHarness) -> None:
        needs(harness, Capability.REFUSES_WORK)
        await check_refused(harness, *harness.wrong_work())

    async def test_work_of_another_kind_is_refused(self, harness: EngineHarness) -> None:
        await check_refused(harness, harness.foreign_work(), "work.kind")


async def check_refused(harness: EngineHarness, work: Work, field: str) -> None:
    submission = replace(new_submission(harness), work=work)
    with pytest.raises(EngineRefused) as refused:
        await harness.engine.submit(submission)
    assert (refused.value.field, refused.value.sealed) == (field, False)
    assert await harness.starts(submission.run_key) == 0
