"""What must hold: of a state, of a step, and of where every state can still get to."""

from enum import StrEnum

from .model import Model
from .state import (
    ACTIVE,
    CANCELLED,
    CLAIMED,
    DONE,
    FAILED,
    LIVE,
    QUEUED,
    SUBMITTING,
    SUCCEEDED,
    TERMINAL,
    UNKNOWN,
    State,
)


class Breach(StrEnum):
    TWO_RUNS = "two live or successful runs of one task"
    TERMINAL_CHANGED = "a terminal row changed"
    FALSE_SUCCESS = "SUCCEEDED without a successful run"
    FALSE_END = "FAILED or CANCELLED although the run succeeded"
    ORPHAN = "a live run of a task whose row is terminal"
    STARTED_AFTER_CANCEL = "submitted after the cancel was recorded"
    FALSE_UNKNOWN = "UNKNOWN although the engine remembers the live run"
    LIMIT = "more active rows or live runs than the limit"
    STUCK = "a state from which no end can be reached without another fault"


def breach_of_state(m: Model, s: State) -> Breach | None:
    live = 0
    for row, site in zip(s.rows, s.sites, strict=True):
        alive = succeeded = 0
        for _, phase in site.runs:
            if phase == LIVE:
                alive += 1
            elif phase == DONE:
                succeeded += 1
        succeeded += site.forgotten
        live += alive
        if alive + succeeded > 1:
            return Breach.TWO_RUNS
        if row.state in TERMINAL:
            if row.state == SUCCEEDED and not succeeded:
                return Breach.FALSE_SUCCESS
            if row.state in (FAILED, CANCELLED) and succeeded:
                return Breach.FALSE_END
            if alive:
                return Breach.ORPHAN
    if m.tasks > 1 and len(m.dial) == 1 and _over_a_limit(m, s):
        return Breach.LIMIT
    return None


def _over_a_limit(m: Model, s: State) -> bool:
    """Limits that stand still bind at every moment."""
    on = [0] * m.engines
    running = [0] * m.engines
    for row, site, engine in zip(s.rows, s.sites, m.task_engine, strict=True):
        on[engine] += row.state in ACTIVE
        running[engine] += sum(phase == LIVE for _, phase in site.runs)
    plan = m.dial[0]
    return max(on) > m.limit or max(running) > m.limit or sum(on) > plan or sum(running) > plan


def breach_of_step(m: Model, before: State, after: State) -> Breach | None:
    if before.rows is after.rows:
        return None
    for was, now, site in zip(before.rows, after.rows, after.sites, strict=True):
        if was is now or was.state == now.state:
            continue
        if was.state in TERMINAL:
            return Breach.TERMINAL_CHANGED
        if was.state == CLAIMED and now.state == SUBMITTING and now.cancel:
            return Breach.STARTED_AFTER_CANCEL
        false_unknown = now.state == UNKNOWN and not m.unknown_may_be_false
        if false_unknown and any(phase == LIVE for _, phase in site.runs):
            return Breach.FALSE_UNKNOWN
        # a limit that moves binds each claim: the newest one that was ever confirmed
        if len(m.dial) > 1 and was.state == QUEUED and now.state in (CLAIMED, SUBMITTING):
            active = sum(row.state in ACTIVE or row.state == UNKNOWN for row in after.rows)
            if active > m.dial[after.dial.newest]:
                return Breach.LIMIT
    return None


def finished(m: Model, s: State) -> bool:
    """Every task whose engine still answers has an end, or waits for a person where it may."""
    return all(
        row.state in TERMINAL or (row.state == UNKNOWN and m.unknown_may_wait) or (m.silent and engine == 0)
        for row, engine in zip(s.rows, m.task_engine, strict=True)
    )
