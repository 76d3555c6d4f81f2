"""Rounds of real kills: an executor dies by SIGKILL at a point of the submit, another one goes on."""

from typing import Final

from signalbox_contracts.states import TaskState
from support.crash_points.kill_methods import LOST_ANSWER, SUBMITTING, killed
from support.crash_points.scene import After, CrashStand, Found, Scene

ROUNDS: Final = 20
KILL_POINTS: Final = {
    "before the call": ("executor.after_intent", Found(SUBMITTING, sends=1, fence=1)),
    "after acceptance": (LOST_ANSWER, Found(SUBMITTING, starts=None)),
    "before the commit": ("executor.recording", Found(SUBMITTING, None)),
}
"""Where the executor dies, and what is there then."""


async def dies_and_another_goes_on(scene: Scene, point: str) -> None:
    """One round: the work begins once, ends well, and its end is published once."""
    await killed(KILL_POINTS[point])(scene)
    scene.executor()
    await scene.check_after(After(TaskState.SUCCEEDED, (1,)))


__all__ = ["KILL_POINTS", "ROUNDS", "CrashStand", "dies_and_another_goes_on"]
