"""Whatever one run or row holds, the others of its batch are observed, finished, stopped, claimed and published."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.wake_ups import WakeUps
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.operations import OozieControlData, OozieShow, OozieShowData, PlanRepublish
from signalbox_contracts.messages.states import OperationResult, Outcome
from signalbox_contracts.messages.tasks import EndCause, Phase, TaskProgress, TasksStated
from signalbox_contracts.topics import topic
from signalbox_contracts.wire import decode
from signalbox_executor import facts
from signalbox_executor.engine_requests import EngineRequests
from signalbox_executor.engines.capabilities import Progress
from signalbox_executor.engines.port import Engine, EngineThrottled, Identity, Observation, Submission, Watched
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.membership import Membership
from signalbox_executor.observer import Observer
from signalbox_executor.progress import ProgressReporter
from signalbox_executor.recovery.republish import Republisher
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import accept, engine_requests, engines, observe, operations, submit
from signalbox_executor.submitter import Submitter
from support.executor import Store, operation
from support.service_fixture import until


class OddEngine:
    """Reports each run as a test says. A function that raises stands for a report that cannot be understood."""

    identity = Identity.REMEMBERS_KEYS

    def __init__(self) -> None:
        self.reports: dict[str, Callable[[], Observation]] = {}
        self.stopped: list[str] = []

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        return {run.run_key: self.reports[run.run_key]() for run in watched}

    async def cancel(self, watched: Watched) -> None:
        if "odd" in str(watched.handle):
            raise RuntimeError("no such thing")
        self.stopped.append(watched.run_key)


def ended(key: str, **changes: Any) -> Callable[[], Observation]:
    return lambda: Observation(
        run_key=key, phase=Phase.SUCCEEDED, handle="h", at=datetime.now(UTC), cause=EndCause.COMPLETED, exit_code=0,
        **changes,
    )  # fmt: skip


def nonsense() -> Observation:
    raise RuntimeError("an answer nobody expects")


def nobody(name: str) -> Callable[[], None]:
    """What wakes no loop: there is none."""
    return list[str]().clear


def odd_engine(id: str) -> OddEngine:
    return OddEngine()


@pytest_asyncio.fixture
async def observer(store: Store) -> AsyncGenerator[Observer]:
    await store.engine(concurrency=100)
    database = Database(store.url, schema=store.schema, pool_size=3)
    settings = ExecutorSettings(kafka_bootstrap="127.0.0.1:9", database_url=cast(Any, store.url))
    member = Membership()
    member.id = await store.worker()
    made = Observer(database, EngineRegistry(cast(Any, None)), member, settings, Telemetry("test"), WakeUps())
    made.wakes.of = cast(Any, nobody)
    yield made
    await database.stop()


async def running(store: Store, observer: Observer, count: int) -> list[UUID]:
    await store.plan(count)
    claims = await store.claim(observer.member.id)
    async with store.connection() as connection:
        started = [(one.task.id, one.task.fence, f"h{n}") for n, one in enumerate(claims)]
        await submit.intend(connection, [(id, fence) for id, fence, _ in started])
        await submit.record(connection, started)
    return sorted(one.task.id for one in claims)


async def one_pass(store: Store, observer: Observer, engine: OddEngine) -> dict[UUID, Any]:
    async with store.connection() as connection:
        fence = await observe.acquire(connection, "e1", observer.member.id, lease_seconds=30)
    assert fence is not None
    await observer.poll_all("e1", cast(Engine, engine), fence)
    return {row["id"]: row for row in await store.rows("SELECT * FROM task")}


async def test_one_odd_run_costs_the_others_nothing_whatever_is_odd_about_it(store: Store, observer: Observer) -> None:
    """Without it one result that PostgreSQL cannot hold stops the end of every run of that engine, for ever."""
    ids = await running(store, observer, 8)
    engine = OddEngine()
    engine.reports = {run_key(id, 1): ended(run_key(id, 1), result={"n": 1}) for id in ids}
    unstorable, unreadable = run_key(ids[1], 1), run_key(ids[6], 1)
    engine.reports[unstorable] = ended(unstorable, result={"a\0": [1]})
    engine.reports[unreadable] = nonsense
    rows = await one_pass(store, observer, engine)
    states = [rows[id]["state"] for id in ids]
    assert states == ["SUCCEEDED", "FAILED", *["SUCCEEDED"] * 4, "UNKNOWN", "SUCCEEDED"]
    assert "cannot be recorded" in rows[ids[1]]["error"]
    assert "cannot be understood: RuntimeError: an answer nobody expects" in rows[ids[6]]["reason"]


async def test_one_stop_that_fails_keeps_no_other_run_from_its_stop(store: Store, observer: Observer) -> None:
    ids = await running(store, observer, 4)
    async with store.connection() as connection:
        await connection.execute("UPDATE task SET kill = true, cancel_requested_at = now()")
        await connection.execute("UPDATE task SET handle = 'odd' WHERE id = $1", ids[0])
    engine = OddEngine()
    await observer.stop_runs("e1", cast(Engine, engine))
    assert sorted(engine.stopped) == sorted(run_key(id, 1) for id in ids[1:])


async def test_runs_that_never_end_keep_no_other_run_from_its_stop(
    store: Store, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it 200 runs that an engine lost, once cancelled, hide every later cancel and time limit there."""
    monkeypatch.setattr("signalbox_executor.observer.MAX_STOPS", 2)
    ids = await running(store, observer, 5)
    async with store.connection() as connection:
        await connection.execute("UPDATE task SET kill = true, cancel_requested_at = now()")
    engine = OddEngine()
    for _ in range(3):
        await observer.stop_runs("e1", cast(Engine, engine))
    assert sorted(engine.stopped) == sorted(run_key(id, 1) for id in ids), "each once, until `stop_seconds` are over"


async def test_a_task_whose_work_cannot_be_read_is_refused_and_the_others_are_claimed(store: Store) -> None:
    """A specification of an earlier release that today's bounds do not allow is such a task."""
    await store.engine(concurrency=100)
    worker = await store.worker()
    await store.plan(3)
    async with store.connection() as connection:
        await connection.execute(
            "UPDATE task SET spec = jsonb_set(spec, '{priority}', '1000') WHERE position = 1"
        )  # fmt: skip
    claims = await store.claim(worker)
    assert sorted((one.task.item_key, bool(one.fault)) for one in claims) == [
        ("item/0", False), ("item/1", True), ("item/2", False),
    ]  # fmt: skip


async def test_a_row_that_no_reader_takes_is_published_without_its_content(store: Store) -> None:
    await store.engine()
    plan = await store.plan(2)
    async with store.connection() as connection:
        await connection.execute("UPDATE task SET waiting = '{\"why\": 7}' WHERE position = 0")
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM task WHERE plan_id = $1", plan)]
        records = [facts.record(task) for task in await accept.present(connection, ids)]
    assert sorted(bool(record.error) for record in records) == [False, True]


async def test_an_engine_whose_definition_cannot_be_read_hides_no_other(store: Store) -> None:
    await store.engine("e1")
    await store.engine("e2", revision=2)
    async with store.connection() as connection:
        await connection.execute("UPDATE engine SET definition = '{}' WHERE id = 'e1'")
        assert [one.id for one in await engines.listed(connection, "here")] == ["e2"]


async def test_a_pass_over_an_engine_that_keeps_failing_is_seen(
    store: Store, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it `/readyz` and `status` are green while no run of the engine is ever seen to end."""
    monkeypatch.setattr("signalbox_chassis.runtime.loops.FAILING_SECONDS", 0.0)
    async with store.connection() as connection:
        [engine] = await engines.listed(connection, "here")
    observer.registry.get = cast(Any, odd_engine)
    observer.member.registered = {"e1": engine}
    observer._poll_engine = cast(Any, failing)  # pyright: ignore[reportPrivateUsage]
    ids = await running(store, observer, 2)
    for _ in range(3):
        observer._due.clear()  # pyright: ignore[reportPrivateUsage]
        await observer.one_pass()
        for task in list(observer._passes.values()):  # pyright: ignore[reportPrivateUsage]
            with pytest.raises(RuntimeError):
                await task
    assert observer.troubles == {"observe e1": "RuntimeError: nobody thought of this"}
    why = "its runs cannot be observed: RuntimeError: nobody thought of this"
    assert await store.value("SELECT last_error FROM engine") == why
    rows = await store.rows("SELECT waiting::text AS waiting FROM task WHERE id = ANY ($1)", ids)
    assert all(why in row["waiting"] for row in rows)


async def failing(*_: object) -> None:
    raise RuntimeError("nobody thought of this")


async def test_a_revision_that_jumps_is_not_taken_and_the_definition_stays(store: Store) -> None:
    """Without it one forged record with revision 2^40 keeps every later definition of the engine out."""
    await store.engine("e9", revision=7)
    with pytest.raises(asyncpg.DataError, match="jumps from 7 to 1099511627776"):
        await store.engine("e9", revision=2**40)
    floor = int(datetime.now(UTC).timestamp() * 100)
    await store.engine("e9", revision=floor)  # as after a restore
    assert await store.value("SELECT revision FROM engine WHERE id = 'e9'") == floor


async def test_a_history_too_long_for_a_message_is_republished_without_its_beginning(
    store: Store, observer: Observer
) -> None:
    """Without it the operation fails in every pass, and with it every later one: no read model is ever rebuilt."""
    plan, other = await store.plan(2), await store.plan(1)
    async with store.connection() as connection:
        await connection.execute(
            "UPDATE task SET attempt = 101, history = (SELECT jsonb_agg(jsonb_build_object('version', n, 'state',"
            " 'QUEUED', 'attempt', 1 + n/2, 'at', now(), 'reason', repeat('é', 2000))) FROM generate_series(1, 200) n)"
            " WHERE plan_id = $1 AND position = 0", plan,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO attempt (task_id, attempt, cause, error) SELECT t.id, n, 'failed', repeat('é', 2000)"
            " FROM task t, generate_series(1, 100) n WHERE plan_id = $1 AND position = 0", plan,
        )  # fmt: skip
        event = operation(PlanRepublish, f"plan:{plan}", plan_ids=(plan, other))
        await operations.save_republish(connection, event, None)
        await connection.execute("DELETE FROM outbox")
    republisher = Republisher(observer.database)
    while await republisher.one_pass():
        pass
    assert not await store.value("SELECT count(*) FROM operation")
    rows = await store.rows("SELECT value FROM outbox WHERE topic = 'tasks.v1'")
    events = [decode(topic("tasks.v1"), row["value"]) for row in rows]
    records = [task for event in events if isinstance(event, TasksStated) for task in event.data.tasks]
    assert len(records) == 3
    longest = max(records, key=lambda record: len(record.transitions))
    assert longest.transitions[-2].version == 200, "the newest are there"
    assert longest.attempts[-1].attempt == 100


class OddJobs(OddEngine):
    """Shows what a test says of any job."""

    def __init__(self, shown: Callable[[], Any]) -> None:
        super().__init__()
        self.shown = shown

    async def show_job(self, request: OozieShowData) -> Mapping[str, Any]:
        return {"job": request.job, "document": request.document, "text": self.shown()}

    async def control_job(self, request: OozieControlData) -> Mapping[str, Any]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("shown", "outcome", "reason"),
    [
        (nonsense, Outcome.FAILED, "it failed half way: RuntimeError: an answer nobody expects"),
        (lambda: "a\0b\ud800", Outcome.DONE, "the log of "),
        (lambda: "\x1b[31m" * 100_000, Outcome.DONE, "bytes and are left out"),
    ],
    ids=["unexpected", "not storable", "too large"],
)
async def test_an_operation_is_answered_whatever_its_engine_answers(
    store: Store, observer: Observer, shown: Callable[[], Any], outcome: Outcome, reason: str
) -> None:
    """Without it the operation is carried out again every second, or its answer is parked: nobody ever gets one."""
    registry = EngineRegistry(cast(Any, None))
    registry.get = cast(Any, lambda engine_id: OddJobs(shown))  # pyright: ignore[reportUnknownLambdaType]
    requests = EngineRequests(observer.database, registry, lambda: ["e1"])
    event = operation(OozieShow, "engine:e1", engine_id="e1", job="0000001-260101000000000-oozie-W", document="log")
    async with store.connection() as connection:
        await engine_requests.keep(connection, event, None)
    await requests.one_pass()

    async def answered() -> bool:
        return bool(await store.value("SELECT count(*) FROM outbox"))

    await until(answered, seconds=20, why="the operation was answered")
    value = await store.value("SELECT value FROM outbox")
    result = decode(topic("states.v1"), value)
    assert isinstance(result, OperationResult)
    assert result.data.outcome is outcome
    assert reason in result.data.reason
    assert not await store.value("SELECT count(*) FROM operation")


async def test_requests_to_an_engine_that_hangs_keep_no_other_engine_from_its_answer(
    store: Store, observer: Observer
) -> None:
    """Without it twenty of them keep every operation on every engine waiting, for up to a quarter of an hour."""
    hanging, registry = asyncio.Event(), EngineRegistry(cast(Any, None))

    class Hanging(OddJobs):
        async def show_job(self, request: OozieShowData) -> Mapping[str, Any]:
            await hanging.wait()
            return {}

    jobs = {"e1": Hanging(nonsense), "e2": OddJobs(lambda: "text")}
    registry.get = cast(Any, jobs.get)
    requests = EngineRequests(observer.database, registry, lambda: ["e1", "e2"])
    job = "0000001-260101000000000-oozie-W"
    async with store.connection() as connection:
        for id in ["e1"] * 25 + ["e2"]:
            event = operation(OozieShow, f"engine:{id}", engine_id=id, job=job, document="log")
            await engine_requests.keep(connection, event, None)
    await requests.one_pass()

    async def answered() -> bool:
        return await store.value("SELECT count(*) FROM operation WHERE engine_id = 'e2'") == 0

    try:
        await until(answered, seconds=20, why="the other engine's operation was answered")
        assert await store.value("SELECT count(*) FROM operation") == 25
    finally:
        await requests.stop()


class OddStart(OddEngine):
    """Answers the first submit in a way that nobody expects."""

    submits = 0

    async def submit(self, submission: Submission) -> str:
        self.submits += 1
        if self.submits == 1:
            raise KeyError("metadata\0")
        return "h"

    async def progress(self, watched: Sequence[Watched]) -> Mapping[str, Progress]:
        return {run.run_key: Progress(message="1 jobs failed: bad record a\0b") for run in watched}


async def test_a_submit_whose_answer_nobody_expects_is_shown_and_sent_again(store: Store, observer: Observer) -> None:
    """Without it the task stays SUBMITTING and nothing says why. Its engine answers: no other task waits for that."""
    await store.plan(1)
    odd, registry = OddStart(), EngineRegistry(cast(Any, None))
    registry.get = cast(Any, lambda engine_id: odd)  # pyright: ignore[reportUnknownLambdaType]
    submitter = Submitter(observer.database, registry, observer.settings, Telemetry("test"))
    claims = await store.claim(observer.member.id)
    async with store.connection() as connection, connection.transaction():
        intended = await submitter.intend(connection, claims)
    submitter.submit_all(intended)

    async def started() -> bool:
        return (await store.states()).get("RUNNING") == 1

    await until(started, seconds=20, why="it was sent again")
    assert b"its answer cannot be understood: KeyError" in await store.value("SELECT value FROM outbox")
    assert await store.value("SELECT failures FROM engine") == 0


async def submitted(store: Store, observer: Observer, engine: Engine, count: int, **settings: Any) -> Submitter:
    """Claims so many tasks, and submits them to this engine."""
    await store.plan(count)
    registry = EngineRegistry(cast(Any, None))
    registry.get = cast(Any, lambda engine_id: engine)  # pyright: ignore[reportUnknownLambdaType]
    submitter = Submitter(observer.database, registry, observer.settings.model_copy(update=settings), Telemetry("test"))
    claims = await store.claim(observer.member.id)
    async with store.connection() as connection, connection.transaction():
        intended = await submitter.intend(connection, claims)
    submitter.submit_all(intended)
    return submitter


async def test_a_handle_that_cannot_be_recorded_keeps_no_other_run_from_its_record(
    store: Store, observer: Observer
) -> None:
    """Without it the runs that were recorded with it are submitted again every ten seconds, and never RUNNING."""

    class OddHandle(OddEngine):
        async def submit(self, submission: Submission) -> str:
            self.stopped.append(submission.run_key)
            return "h\0" if len(self.stopped) == 1 else "h"

    submitter = await submitted(store, observer, cast(Engine, OddHandle()), 3, resend_seconds=600)

    async def recorded() -> bool:
        return (await store.states()).get("RUNNING", 0) >= 2

    try:
        await until(recorded, seconds=20, why="the others were recorded")
    finally:
        await submitter.drop()


async def _throttled(store: Store) -> bool:
    """Whether the task shows that its engine asks for an hour, and its fact was published."""
    waiting = json.loads(await store.value("SELECT waiting::text FROM task") or "{}")
    if not waiting:
        return False
    assert (waiting["why"], waiting["holder"], waiting["detail"]) == (
        "engine_throttled", "engine:e1", "e1 asks to wait 3600 s",
    )  # fmt: skip
    since_at, until_at = (datetime.fromisoformat(waiting[name]) for name in ("since_at", "until_at"))
    assert 3600 <= (until_at - since_at).total_seconds() <= 1.2 * 3600
    return b"engine_throttled" in await store.value("SELECT value FROM outbox")


async def test_a_cancel_does_not_wait_for_an_engine_that_asks_for_an_hour(store: Store, observer: Observer) -> None:
    """Without it the task stays SUBMITTING for that hour, and its plan CANCELLING."""

    class Throttling(OddEngine):
        async def submit(self, submission: Submission) -> str:
            raise EngineThrottled("e1", 3600)

        async def seal(self, watched: Watched) -> str | None:
            return None

    submitter = await submitted(store, observer, cast(Engine, Throttling()), 1, resend_seconds=0.05)
    await until(lambda: _throttled(store), seconds=20, why="the task shows the reason and the time")
    async with store.connection() as connection:
        await connection.execute("UPDATE task SET kill = true, cancel_requested_at = now()")

    async def cancelled() -> bool:
        return (await store.states()).get("CANCELLED") == 1

    try:
        await until(cancelled, seconds=20, why="the task was cancelled")
    finally:
        await submitter.drop()


async def test_progress_is_published_without_what_no_reader_takes(store: Store, observer: Observer) -> None:
    """Without it each such message is parked by its readers."""
    (id,) = await running(store, observer, 1)
    async with store.connection() as connection:
        watches = await observe.watched_of(connection, "e1", [id], unknown_seconds=60)
    seen = {
        watch.watched.run_key: Observation(
            run_key=watch.watched.run_key, phase=Phase.RUNNING, handle="h", at=datetime.now(UTC)
        )
        for watch in watches
    }
    await ProgressReporter(observer.database, 5).report("e1", cast(Engine, OddStart()), watches, seen)
    assert isinstance(decode(topic("tasks.v1"), await store.value("SELECT value FROM outbox")), TaskProgress)
