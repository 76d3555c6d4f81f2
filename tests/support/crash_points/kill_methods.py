"""Ways to die, and worse: each brings a scene to the moment after, and asserts what was found then."""

import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

from engines.harness import WorkRequest
from signalbox_contracts.states import TaskState
from support.crash_points.scene import PATIENCE_SECONDS, Found, Scene
from support.forked import Forked
from support.service_fixture import until

Way = Callable[[Scene], Awaitable[None]]
QUEUED, CLAIMED, SUBMITTING, RUNNING = TaskState.QUEUED, TaskState.CLAIMED, TaskState.SUBMITTING, TaskState.RUNNING
LOST_ANSWER = "(the engine's own for a lost answer)"
UNDER_WAY = "(the engine's own for a submit under way)"
"""Armed as the points that this engine names."""


def killed(
    *deaths: tuple[str, Found],
    work: WorkRequest | None = None,
    attempts: int = 1,
    by_message: bool = False,
    cancel_after: int = 0,
    overdue_after: int = 0,
    **environment: str,
) -> Way:
    """One executor after the other, each killed at its point.

    `asked`: the task is asked for by its command, else it is there. `cancel_after`: the plan is cancelled after so many
    deaths; `overdue_after`: its time limit passes. The environment is the victims'.
    """

    async def way(scene: Scene) -> None:
        shape = work or WorkRequest()
        scene.shape(shape, attempts=attempts)
        await (scene.send() if by_message else scene.put())
        with ExitStack() as late:
            if shape.late:
                late.enter_context(scene.engine.late(scene.key))
            for number, (point, found) in enumerate(deaths, 1):
                own = {LOST_ANSWER: scene.engine.lost_answer_point, UNDER_WAY: scene.engine.under_way_point}
                await scene.died(scene.executor(own.get(point, point), **environment))
                await scene.check_found(found)
                if number == cancel_after:
                    await scene.cancel()
                if number == overdue_after:
                    await scene.stand.rows("UPDATE task SET running_seconds = 0 WHERE id = $1", scene.task.task_id)
        if shape.late and scene.engine.late_submit_starts:
            await scene.started()

    return way


def killed_before_it_is_sent(point: str, found: Found, *, attempts: int = 1, exit_code: int = 0) -> Way:
    """Another relay is the active one, and sends nothing, until the executor has written the end."""

    async def way(scene: Scene) -> None:
        scene.shape(WorkRequest(exit_code=exit_code), attempts=attempts)
        await scene.put()
        async with scene.relay_held():
            victim = scene.executor(point)
            if not point.startswith("relay."):
                await scene.died(victim)
            else:
                await scene.in_state(TaskState.SUCCEEDED)
        await scene.died(victim)
        await scene.check_found(found)

    return way


async def claimed_by_hand(scene: Scene) -> None:
    """A worker that committed its claim alone: allowed by the protocol, done by none of ours."""
    scene.shape(WorkRequest())
    await scene.put()
    worker = await scene.stand.worker()
    assert len(await scene.stand.claim(worker)) == 1
    await scene.stand.expire(worker)
    await scene.check_found(Found(CLAIMED, sends=0))


def frozen_in_mid_submit(crash_at: str = "") -> Way:
    """SIGSTOP with a submit under way, until another has taken over and sent its own; then it wakes.

    With a crash point it dies when it finds that its lease is lost.
    """

    async def way(scene: Scene) -> None:
        scene.shape(WorkRequest(late=True))
        await scene.put()
        with scene.engine.late(scene.key):
            sleeper = scene.executor(crash_at)
            before = await scene.in_state(SUBMITTING)
            await scene.freeze(sleeper)
            await scene.time_passes()
            scene.executor()
            await taken_over(scene, before)
            sleeper.send_signal(signal.SIGCONT)
            if crash_at:
                await scene.died(sleeper)
        if not crash_at:
            await came_back(scene, sleeper)

    return way


async def taken_over(scene: Scene, before: dict[str, Any]) -> None:
    async def moved() -> bool:
        row = await scene.row()
        return row is not None and row["fence"] > before["fence"] and row["owner"] != before["owner"]

    await until(moved, seconds=PATIENCE_SECONDS, why="another took the task over")


async def came_back(scene: Scene, sleeper: Forked) -> None:
    async def two_live() -> bool:
        return await scene.stand.value("SELECT count(*) FROM worker WHERE NOT dead AND lease_until > now()") == 2

    await until(two_live, seconds=PATIENCE_SECONDS, why="the sleeper took a new id")
    assert sleeper.poll() is None


async def observer_frozen(scene: Scene) -> None:
    """The holder of the engine is paused while a run goes on; another holds the engine when it wakes."""
    scene.shape(WorkRequest(endless=True))
    await scene.put()
    sleeper = scene.executor()
    await scene.in_state(RUNNING)
    await scene.started()
    first = await holder(scene, other_than=None)
    await scene.freeze(sleeper)
    await scene.time_passes()
    scene.executor()
    second = await holder(scene, other_than=first)
    sleeper.send_signal(signal.SIGCONT)
    await came_back(scene, sleeper)
    assert second[1] > first[1], "the engine's fence moved on"
    await scene.cancel()


async def holder(scene: Scene, *, other_than: tuple[Any, int] | None) -> tuple[Any, int]:
    """Worker and fence of the engine's lease, once another worker has it."""
    found: list[tuple[Any, int]] = []

    async def held() -> bool:
        rows = await scene.stand.rows("SELECT holder, fence FROM engine_lease WHERE engine_id = $1", scene.engine_id)
        live = "SELECT EXISTS (SELECT FROM worker WHERE id = $1 AND NOT dead AND lease_until > now())"
        found[:] = [(row["holder"], row["fence"]) for row in rows]
        if not found or (other_than is not None and found[0][0] == other_than[0]):
            return False
        return await scene.stand.value(live, found[0][0])

    await until(held, seconds=PATIENCE_SECONDS, why="a live worker holds the engine")
    return found[0]


async def cancelled_in_mid_submit(scene: Scene) -> None:
    """The cancel comes while the submit is under way: only a flag; the run is recorded, then stopped."""
    scene.shape(WorkRequest(endless=True, late=True))
    await scene.put()
    with scene.engine.late(scene.key):
        scene.executor()
        await scene.in_state(SUBMITTING)
        await scene.cancel()
    if not scene.engine.begins_late:
        await scene.started()


async def forgotten(scene: Scene) -> None:
    """The engine loses its memory of a run, and then the executor dies that noticed."""
    scene.shape(WorkRequest(endless=True, forgotten=True), on_unknown="fail")
    await scene.put()
    victim = scene.executor(SIGNALBOX_UNKNOWN_SECONDS="600")
    await scene.in_state(RUNNING)
    await scene.started()
    scene.engine.forget(scene.key)
    await scene.in_state(TaskState.UNKNOWN)
    victim.end()
    await scene.time_passes()
    await scene.check_found(Found(TaskState.UNKNOWN, starts=1))
