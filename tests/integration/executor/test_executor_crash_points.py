"""Every point at which an executor may die, on every engine: nothing is started twice, lost, or told wrongly.

The deaths are real: whole executor processes, killed by SIGKILL where the code names the point, or frozen. Leases are
long, and run out when the test says so: what a busy machine delays is no death.
"""

import dataclasses
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio

from engines.harness import EngineHarness, harnesses, marks_of
from signalbox_chassis.messaging.topics import create_topics
from signalbox_local.postgres import PostgresServer
from support.crash_points.kill_methods import SUBMITTING, killed
from support.crash_points.scene import After, CrashStand, Found, Scene
from support.crash_points.stands import scene_of, stand_on
from support.crash_points.table import POINTS, Point
from support.executor import TOPICS, remove_topics
from support.proofs import proves
from support.servers import FAST

Engines = Callable[[str], EngineHarness]
"""Starts an engine when it is first needed."""


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Generator[Engines]:
    with ExitStack() as stack:

        def start(kind: str) -> EngineHarness:
            return stack.enter_context(harnesses()[kind].started_to_be_late(tmp_path_factory.mktemp(kind)))

        yield cache(start)


@pytest.fixture(scope="module")
def mortal_postgres(run_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that these tests kill."""
    server = PostgresServer(run_folder / "pg-crash-points", settings=FAST)
    server.start()
    yield server
    server.stop("immediate")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    kafka_bootstrap: str,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[CrashStand]:
    async with stand_on(postgres_url, kafka_bootstrap, tmp_path_factory.mktemp("stand")) as stand:
        yield stand


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mortal(
    kafka_bootstrap: str,
    mortal_postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[CrashStand]:
    folder = tmp_path_factory.mktemp("mortal")
    async with stand_on(mortal_postgres.url, kafka_bootstrap, folder, mortal_postgres) as stand:
        yield stand


@pytest_asyncio.fixture
async def scene(shared: CrashStand, engines: Engines, point: Point, engine: str) -> AsyncGenerator[Scene]:
    stand = shared
    if point.own_topics:
        stand = dataclasses.replace(shared, place=f"{point.number}.{engine}.", processes=[])
        await create_topics(stand.bootstrap, TOPICS, prefix=stand.prefix)
    async with scene_of(stand, engine, engines(engine)) as made:
        yield made
    if point.own_topics:
        await remove_topics(stand)


@pytest_asyncio.fixture
async def mortal_scene(mortal: CrashStand, engines: Engines, engine: str) -> AsyncGenerator[Scene]:
    async with scene_of(mortal, engine, engines(engine)) as made:
        yield made


def on_every_engine(*, own_postgres: bool) -> pytest.MarkDecorator:
    points = [point for point in POINTS if point.own_postgres == own_postgres]
    cases = [
        pytest.param(point, kind, marks=marks_of(kind), id=f"{point} - {kind}")
        for point in points
        for kind, harness in harnesses().items()
        if point.concerns(harness)
    ]
    return pytest.mark.parametrize(("point", "engine"), cases)


async def dies_and_goes_on(scene: Scene, point: Point) -> None:
    await point.way(scene)
    if point.another:
        scene.executor()
    await scene.check_after(point.after)


@on_every_engine(own_postgres=False)
@proves("F1", "F13", "F15", "F16", "F17", "F34")
async def test_whoever_dies_where_it_may_nothing_is_started_twice_lost_or_reported_wrongly(
    scene: Scene, point: Point
) -> None:
    """Without the guard of this point a death here loses the task, runs it twice, or tells of it wrongly."""
    await dies_and_goes_on(scene, point)


@on_every_engine(own_postgres=True)
@proves("F14")
async def test_when_postgres_dies_at_a_commit_the_row_says_how_far_it_came(mortal_scene: Scene, point: Point) -> None:
    """Without the sweep of rows of one's own that nobody drives, the living lease keeps the task from everybody."""
    await dies_and_goes_on(mortal_scene, point)


async def test_a_take_over_under_another_key_is_seen_as_two_starts(shared: CrashStand, engines: Engines) -> None:
    """The control: if whoever takes over made a new key, these tests would fail, and say how often work was started."""
    async with scene_of(shared, "scripted", engines("scripted")) as scene:
        await killed(("executor.before_record", Found(SUBMITTING, 1)))(scene)
        await shared.rows("UPDATE task SET attempt = attempt + 1 WHERE id = $1", scene.task.task_id)
        scene.executor()
        with pytest.raises(AssertionError, match=r"\(1, 1, 0\)"):
            await scene.check_after(After(starts=(0, 1)))
