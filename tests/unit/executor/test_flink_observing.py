"""How the end of a Flink job is read, without a server."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from signalbox_chassis.blobs import BlobStoreFailed
from signalbox_contracts.artifacts import FlinkRun
from signalbox_executor.engines.flink.adapter import FlinkEngine, FlinkParts
from signalbox_executor.engines.flink.answers import Checkpoints, Failure, JobEntry, JobProgress
from signalbox_executor.engines.flink.observing import STALE, Runs
from signalbox_executor.engines.flink.records import RunRecords
from signalbox_executor.engines.flink.rest import Incarnation
from signalbox_executor.engines.flink.savepoints import Savepoints
from signalbox_executor.engines.port import AnswerUnreadable, Phase, Watched

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


class NoStore(RunRecords):
    """The blob store is away."""

    async def load(self, run_key: str) -> FlinkRun | None:
        raise BlobStoreFailed("503 Slow Down")

    async def load_stop(self, run_key: str) -> Any:
        raise BlobStoreFailed("503 Slow Down")


class Cluster:
    """Jobs in several states; `odd` shows metrics that nobody can read."""

    url = "http://flink"

    async def overview(self) -> dict[str, JobEntry]:
        states = {"1" * 32: "RUNNING", "2" * 32: "FINISHED", "3" * 32: "CANCELED"}
        return {id: JobEntry.model_validate({"jid": id, "state": state}) for id, state in states.items()}

    async def incarnation(self) -> Incarnation:
        return Incarnation("here", high_availability=False)

    async def progress(self, id: str) -> tuple[JobProgress, Checkpoints]:
        if id == "2" * 32:
            raise AnswerUnreadable("flink", "an answer that cannot be read: read-records")
        return JobProgress(), Checkpoints()


async def test_while_the_blob_store_is_away_no_run_is_lost_and_those_that_need_no_record_are_observed() -> None:
    """Without it every job that ends meanwhile is UNKNOWN, and may be started again by its policy."""
    clock, records, cluster = cast("Any", Clock()), NoStore(cast("Any", None), "flink"), cast("Any", Cluster())
    runs = Runs(cluster, records, Savepoints("flink", cluster, records, clock), clock)
    seen = await runs.observe([Watched(f"sb-{number}", 1, str(number) * 32) for number in range(1, 5)])
    assert {key: one.phase for key, one in seen.items()} == {"sb-1": Phase.RUNNING}


async def test_metrics_of_one_job_that_cannot_be_read_hide_no_others() -> None:
    parts = FlinkParts(
        engine_id="flink", job_manager=cast("Any", Cluster()), artifacts=cast("Any", None), blobs=cast("Any", None),
        clock=cast("Any", Clock()), default_jar_url="",
    )  # fmt: skip
    found = await FlinkEngine(parts).progress([Watched(f"sb-{number}", 1, str(number) * 32) for number in (1, 2, 3)])
    assert set(found) == {"sb-1", "sb-3"}
