"""How our runs are recognised on Airflow: the handle, the mark in `conf`, the marks in a run's note. Pure.

A run is ours only if its `conf` carries our run key. Airflow has no "cancelled" and no key for a clear, so stops and
clears leave a mark in the note. The mark of a clear holds when the run was queued, or ended, before: a clear changes
that, so the mark says by itself whether the clear has happened.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from pydantic import JsonValue

from signalbox_contracts.definitions.work import AirflowWork
from signalbox_executor.engines.airflow.answers import DagRun
from signalbox_executor.engines.port import Handle, Submission

CONF_KEY: Final = "signalbox"
"""The one name in `conf` that a job cannot use."""
MAX_NOTE_CHARACTERS: Final = 1000
_MARK: Final = re.compile(
    r"\n?\[signalbox (stopped|cleared|restarted) (sb-[0-9a-f-]{36}-\d{1,7})(?: after ([0-9T:.+Z-]{1,40}))?\]"
)

Deed = Literal["stopped", "cleared", "restarted"]
"""A run that was stopped is restarted: also what the stop skipped is cleared."""


def handle_of(dag_id: str, dag_run_id: str) -> Handle:
    """`dag/run`: neither part can contain a slash."""
    return f"{dag_id}/{dag_run_id}"


def parts_of(handle: Handle) -> tuple[str, str] | None:
    """The DAG and the run of a handle; None for a text that is none."""
    dag_id, slash, dag_run_id = handle.partition("/")
    return (dag_id, dag_run_id) if slash and dag_id and dag_run_id else None


def conf_of(submission: Submission, work: AirflowWork) -> dict[str, JsonValue]:
    """The `conf` of a new run: the job's own, and who started it."""
    mark: dict[str, JsonValue] = {
        "run_key": submission.run_key,
        "task_id": str(submission.task_id),
        "attempt": submission.attempt,
    }
    if submission.traceparent:
        mark["traceparent"] = submission.traceparent
    return {**work.conf, CONF_KEY: mark}


def is_ours(run: DagRun, run_key: str) -> bool:
    """Whether this run was started with this run key."""
    mark = (run.conf or {}).get(CONF_KEY)
    return isinstance(mark, Mapping) and mark.get("run_key") == run_key


def started_by(run: DagRun, tasks: Collection[UUID]) -> bool:
    """Whether any attempt of one of these tasks started the run."""
    mark = (run.conf or {}).get(CONF_KEY)
    return isinstance(mark, Mapping) and mark.get("task_id") in {str(task) for task in tasks}


def cleared_by(note: str | None, tasks: Collection[UUID]) -> bool:
    """Whether an attempt of one of these tasks was the last that cleared the run."""
    return any(deed != "stopped" and key[3:39] in {str(task) for task in tasks}
               for deed, key, _ in _MARK.findall(note or ""))  # fmt: skip


def marked(note: str | None, deed: Deed, run_key: str, *, after: datetime | None = None) -> str:
    """The note with this mark instead of earlier ones; what people wrote stays, as far as it fits."""
    mark = f"[signalbox {deed} {run_key}{f' after {after.isoformat()}' if after else ''}]"
    words = unmarked(note)[: MAX_NOTE_CHARACTERS - len(mark) - 1]
    return f"{words}\n{mark}" if words else mark


def unmarked(note: str | None) -> str:
    return _MARK.sub("", note or "").strip()


def annotated(note: str | None, words: str) -> str:
    """The note with these words of people, and the marks it had."""
    marks = "".join(f"\n{found.group().strip()}" for found in _MARK.finditer(note or ""))
    return f"{unmarked(words)[: MAX_NOTE_CHARACTERS - len(marks)]}{marks}".strip()


def was_stopped(note: str | None, run_key: str | None = None) -> bool:
    """Whether the note says that we stopped the run, under this key if one is given."""
    return any(deed == "stopped" and run_key in (None, key) for deed, key, _ in _MARK.findall(note or ""))


@dataclass(frozen=True, slots=True)
class ClearMark:
    """What a run's note says of the clear of one run key."""

    after: datetime | None
    of_stopped: bool

    def has_happened(self, run: DagRun) -> bool:
        """Whether the run was queued since."""
        return self.after is None or run.generation != self.after


def clear_mark(note: str | None, run_key: str) -> ClearMark | None:
    """The mark of this run key's clear, if there is one."""
    for deed, key, after in _MARK.findall(note or ""):
        if deed != "stopped" and key == run_key:
            with suppress(ValueError):
                return ClearMark(datetime.fromisoformat(after) if after else None, deed == "restarted")
    return None
