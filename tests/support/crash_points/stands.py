"""Places for scenes: a schema with topics, an engine registered there, and the clearing up after each scene."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from engines.harness import EngineHarness
from signalbox_chassis.messaging.topics import create_topics
from signalbox_local.postgres import PostgresServer
from support.crash_points.scene import CrashStand, Scene
from support.executor import TOPICS, make_store, remove_store, remove_topics


@asynccontextmanager
async def stand_on(
    url: str, bootstrap: str, folder: Path, server: PostgresServer | None = None
) -> AsyncGenerator[CrashStand]:
    """One schema and one set of topics for many scenes: each has a plan of its own."""
    store = await make_store(url)
    stand = CrashStand(store.url, store.schema, bootstrap, "", folder, server=server)
    await create_topics(bootstrap, TOPICS, prefix=stand.prefix)
    yield stand
    await remove_topics(stand)
    await remove_store(store, url)


@asynccontextmanager
async def scene_of(stand: CrashStand, engine_id: str, harness: EngineHarness) -> AsyncGenerator[Scene]:
    """A scene on this engine, and nothing left of it afterwards."""
    scene = Scene(stand, engine_id, harness)
    await stand.engine(engine_id, connection=harness.connection, concurrency=50)
    yield scene
    stand.end_processes()
    harness.clean(scene.key)
    await scene.time_passes()  # else the next scene waits for the engine that the dead hold
    await stand.rows("DELETE FROM task WHERE plan_id = $1", scene.plan)
