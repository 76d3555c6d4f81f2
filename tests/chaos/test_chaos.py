"""The long run, and the negative controls: what is broken on purpose must be seen by the same judge."""

import random
import shutil

import pytest

from chaos.controls import COMMIT_FIRST, FENCE_IN_KEY, NO_LIMIT
from chaos.faults import Kind
from chaos.run import FULL, run

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]


async def test_all_invariants_hold_over_thousands_of_tasks_and_a_hundred_faults() -> None:
    report, folder = await run(FULL, random.randrange(1, 2**31))
    print(report.text())
    assert report.held, f"{report.text()}\nthe logs are kept in {folder}"
    counts = report.counts
    assert counts["tasks"] >= 3000
    assert counts[f"fault: {Kind.KILL}"] + counts[f"fault: {Kind.CRASH}"] >= 40
    assert counts[f"fault: {Kind.FREEZE}"] >= 10
    assert counts[f"fault: {Kind.POSTGRES}"] >= 5
    assert counts[f"fault: {Kind.BROKER}"] + counts[f"fault: {Kind.KAFKA}"] >= 5


async def test_a_run_key_with_the_fence_in_it_is_caught_as_two_live_runs_of_one_task() -> None:
    report, folder = await run(FENCE_IN_KEY, 1)
    assert report.findings["live runs per task <= 1"], report.text()
    shutil.rmtree(folder)


async def test_offsets_that_are_committed_before_the_handling_are_caught_as_work_that_is_lost() -> None:
    report, folder = await run(COMMIT_FIRST, 1)
    lost = [*report.findings["accepted plans are there, whole"],
            *report.findings["every task terminal or legally active"],
            *report.findings["read model = owner's version"]]  # fmt: skip
    assert lost, report.text()
    shutil.rmtree(folder)


async def test_a_claim_without_the_limits_of_plans_is_caught_at_the_engines() -> None:
    report, folder = await run(NO_LIMIT, 1)
    broken = {name for name, found in report.findings.items() if found}
    assert broken == {"engine and plan limits never exceeded"}, report.text()
    shutil.rmtree(folder)
