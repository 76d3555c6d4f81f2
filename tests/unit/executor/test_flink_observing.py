"""How the end of a Flink job is read, without a server."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from signalbox_executor.engines.flink.answers import Failure, JobEntry
from signalbox_executor.engines.flink.observing import STALE, Runs
from signalbox_executor.engines.port import Phase, Watched

JOB = "0" * 32
NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Clock:
    """Shows the time it is given."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class OneFailedJob(Runs):
    """A cluster with one job that failed, and the exception it shows."""

    shown: Failure | None = None

    async def last_failure(self, id: str) -> Failure | None:
        return self.shown


class JobManager:
    url = "http://flink"

    async def overview(self) -> dict[str, JobEntry]:
        return {JOB: JobEntry.model_validate({"jid": JOB, "state": "FAILED"})}


async def test_a_failed_job_without_an_exception_is_looked_at_again_until_the_exception_must_be_there() -> None:
    """Flink shows details of a job that are seconds old: the reason of the failure would be lost."""
    clock, nothing = Clock(), cast("Any", None)
    runs = OneFailedJob(cast("Any", JobManager()), nothing, nothing, cast("Any", clock))
    run = Watched("sb-1", 1, JOB)
    assert await runs.observe([run]) == {}
    runs.shown = Failure(stacktrace="java.lang.IllegalStateException: record 7 cannot be read")
    seen = (await runs.observe([run]))["sb-1"]
    assert (seen.phase, seen.message) == (Phase.FAILED, "IllegalStateException: record 7 cannot be read")
    runs.shown = None
    clock.at = NOW + STALE - timedelta(seconds=1)
    assert await runs.observe([run]) == {}
    clock.at = NOW + 2 * STALE
    seen = (await runs.observe([run]))["sb-1"]
    assert (seen.phase, seen.message) == (Phase.FAILED, "the job failed; Flink keeps no exception of it")
