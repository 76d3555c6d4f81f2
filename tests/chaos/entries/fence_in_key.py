"""The executor, with the fence in its run keys: whoever takes a task over submits another key, and so another run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from signalbox_executor import submitter
from signalbox_executor.app import executor
from signalbox_executor.engines.port import Handle, Observation, Submission, Watched
from signalbox_executor.engines.scripted.adapter import ScriptedEngine
from signalbox_executor.settings import ExecutorSettings

SubmitAttempt: Any = submitter.SubmitAttempt
_init = SubmitAttempt.__init__
_submit, _observe, _cancel = ScriptedEngine.submit, ScriptedEngine.observe, ScriptedEngine.cancel


def init_with_fence(self: Any, owner: Any, claim: Any, engine: Any, may_have_arrived: bool) -> None:
    _init(self, owner, claim, engine, may_have_arrived)
    self._key = f"{self._key}-f{claim.task.fence}"
    self._watched = Watched(self._key, claim.task.attempt)
    self._submission = replace(self._submission, run_key=self._key)


async def submit_and_keep_key(self: ScriptedEngine, submission: Submission) -> Handle:
    """The key is the handle, so that a recorded run is found again."""
    await _submit(self, submission)
    return submission.run_key


async def observe_by_handle(self: ScriptedEngine, watched: Sequence[Watched]) -> Mapping[str, Observation]:
    submission = {_by_handle(run).run_key: run for run in watched}
    found = await _observe(self, [_by_handle(run) for run in watched])
    runs = [(submission[key], one) for key, one in found.items()]
    return {run.run_key: replace(one, run_key=run.run_key, handle=run.handle) for run, one in runs}


async def cancel_by_handle(self: ScriptedEngine, watched: Watched) -> None:
    await _cancel(self, _by_handle(watched))


def _by_handle(run: Watched) -> Watched:
    return replace(run, run_key=run.handle or run.run_key)


SubmitAttempt.__init__ = init_with_fence
ScriptedEngine.submit = submit_and_keep_key
ScriptedEngine.observe = observe_by_handle
ScriptedEngine.cancel = cancel_by_handle
executor(ExecutorSettings.load()).run()
