"""Work that cannot run, on a real master and worker: a readable reason, and nothing half done."""

from dataclasses import replace
from typing import Any

import pytest

from engines.conformance import see
from engines.harness import new_submission, until, watched
from engines.spark.distribution import compiled_jobs
from engines.spark.harness import Harness
from engines.spark.product import APPS
from signalbox_contracts.definitions.work import SparkWork
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.port import ENDS, EngineRefused, Observation, Submission

pytestmark = pytest.mark.engine


def asking(harness: Harness, **work: Any) -> Submission:
    return replace(new_submission(harness), work=SparkWork(**work))


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ({"application": "/nowhere/app.py"}, "the application /nowhere/app.py does not exist on this worker"),
        (
            {"application": "/nowhere/app.jar", "main_class": "probe.App"},
            "the application /nowhere/app.jar does not exist on this worker",
        ),
        ({"main_class": "probe.Nobody"}, "the main class probe.Nobody is in none of the JARs"),
        ({"main_class": "probe.NoMain"}, "probe.NoMain has no method main(String[])"),
    ],
)
async def test_what_the_workers_do_not_have_is_named(harness: Harness, work: dict[str, Any], reason: str) -> None:
    sent = asking(harness, **{"application": str(compiled_jobs()), **work})
    await harness.engine.submit(sent)
    seen = await see(harness, sent)
    assert seen.phase is Phase.FAILED
    assert reason in seen.message


async def test_memory_that_no_worker_has_is_why_a_driver_waits(harness: Harness) -> None:
    sent = asking(
        harness, application=str(compiled_jobs()), main_class="probe.App", conf={"spark.driver.memory": "100g"}
    )
    await harness.engine.submit(sent)
    seen = await see(harness, sent, {Phase.SUBMITTED})
    assert seen.handle
    engine: Any = harness.engine
    reasons: dict[str, str] = {}

    async def explained() -> bool:
        reasons.update(await engine.explain_waiting([watched(sent)]))
        return bool(reasons)

    await until(explained, "the wait has a reason")
    assert reasons[sent.run_key] == (
        "no worker can ever run it: the driver wants 1 cores and 102400 MiB, and the largest of 1 workers has "
        "64 cores and 65536 MiB"
    )
    await engine.cancel(watched(sent))
    assert (await see(harness, sent)).phase is Phase.KILLED


async def test_memory_for_executors_that_no_worker_has_is_said_beside_the_progress(harness: Harness) -> None:
    sent = asking(
        harness, application=str(APPS / "failing.py"), arguments=("swallow",), conf={"spark.executor.memory": "100g"}
    )
    await harness.engine.submit(sent)
    await see(harness, sent, {Phase.RUNNING})
    engine: Any = harness.engine
    messages: list[str] = []

    async def explained() -> bool:
        progress = await engine.progress([watched(sent)])
        messages.extend(one.message for one in progress.values())
        return bool(messages) and "MiB" in messages[-1]

    await until(explained, "what it waits for is said")
    assert messages[-1].startswith(
        "no worker can ever run its executors: each wants 102400 MiB, and the largest of 1 workers has 65536 MiB; "
    )
    await engine.cancel(watched(sent))
    assert (await see(harness, sent)).phase is Phase.KILLED


@pytest.mark.parametrize("main_class", [None, "probe.App"])
async def test_a_launcher_that_cannot_be_fetched_runs_nothing_and_its_address_is_named(
    harness: Harness, main_class: str | None
) -> None:
    sent = new_submission(harness)
    if main_class is None:
        sent = asking(harness, application=str(APPS / "failing.py"), arguments=("exit",))
    away = await harness.open(start_url="http://127.0.0.1:1")
    await away.submit(sent)
    seen: list[Observation] = []

    async def ended() -> bool:
        seen.extend((await away.observe([watched(sent)])).values())
        return bool(seen) and seen[-1].phase in ENDS

    await until(ended, "the driver ended")
    await away.close()
    assert (seen[-1].phase, seen[-1].cause) == (Phase.FAILED, EndCause.INFRASTRUCTURE)
    assert seen[-1].message.startswith(
        "nothing of it ran: its launcher, which is fetched from http://127.0.0.1:1, did not begin: "
    )
    assert await harness.starts(sent.run_key) == 0


@pytest.mark.parametrize(
    ("work", "field"),
    [
        ({"application": "a.jar"}, "work.main_class"),
        ({"application": "a.py", "main_class": "a.B"}, "work.main_class"),
        ({"application": "a.py", "conf": {"spark.driver.supervise": "true"}}, "work.conf.spark.driver.supervise"),
        ({"application": "a.py", "conf": {"driver.memory": "1g"}}, "work.conf.driver.memory"),
        ({"application": "a.py", "arguments": ("{{HOME}}",)}, "work.arguments.0"),
        ({"application": "a.py", "environment": {"A": "{{SECRET}}"}}, "work.environment.A"),
        ({"application": "a.py", "files": ("/a,b",)}, "work.files.0"),
    ],
)
async def test_work_that_would_run_otherwise_than_asked_is_refused(
    harness: Harness, work: dict[str, Any], field: str
) -> None:
    before = harness.cluster.drivers().keys()
    with pytest.raises(EngineRefused) as refused:
        await harness.engine.submit(asking(harness, **work))
    assert refused.value.field == field
    assert harness.cluster.drivers().keys() == before
