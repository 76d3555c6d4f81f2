"""Executor processes: their leases, their deaths, who takes over from whom, and rows nobody drives."""

from collections.abc import Iterator

from .model import Model
from .state import (
    DEAD,
    EXPIRED,
    IDLE,
    NOBODY,
    QUEUED,
    VALID,
    State,
    Step,
    put,
    put_row,
)
from .submits import drive


def lease_runs_out(m: Model, s: State) -> Iterator[Step]:
    """At any moment, and nobody is told. Of a process that is gone it is no fault but the way on."""
    for w, worker in enumerate(s.workers[:-1]):
        if worker.lease == VALID:
            yield worker.up, f"lease of w{w} runs out", _with_lease(s, w, EXPIRED)


def renew_too_late(m: Model, s: State) -> Iterator[Step]:
    """What the two guards of the renewal forbid."""
    for w, worker in enumerate(s.workers):
        late = worker.lease == EXPIRED and "renew.not_expired" not in m.guards
        if worker.up and (late or (worker.lease == DEAD and "renew.not_dead" not in m.guards)):
            yield False, f"w{w} renews its {worker.lease} lease", _with_lease(s, w, VALID)


def die(m: Model, s: State) -> Iterator[Step]:
    """Killed, or found its lease gone and dropped everything. What comes back has a new id."""
    for w, worker in enumerate(s.workers[:-1]):
        if worker.up:
            after = s._replace(
                workers=put(s.workers, w, worker._replace(up=False)),
                watches=put(s.watches, w, (IDLE,) * len(s.leases)),
                coroutines=tuple(c for c in s.coroutines if c.worker != w),
            )
            yield True, f"w{w} dies", after


def take_over(m: Model, s: State) -> Iterator[Step]:
    """One transaction: the victim is marked dead, its CLAIMED and SUBMITTING rows move with a higher fence."""
    for w, worker in enumerate(s.workers):
        if not worker.up or (worker.lease != VALID and "takeover.live" in m.guards):
            continue
        for v, victim in enumerate(s.workers):
            owns = any(row.owner == v for row in s.rows)
            swept = victim.lease == DEAD and m.sweep_dead_owners and owns
            mortal = v < m.workers - 1
            early = mortal and victim.lease == VALID and "takeover.expired" not in m.guards and owns
            if v != w and (victim.lease == EXPIRED or swept or early):
                yield from _taken_over(m, s, w, v)


def _taken_over(m: Model, s: State, w: int, v: int) -> Iterator[Step]:
    mine = [t for t, row in enumerate(s.rows) if row.owner == v]
    if "takeover.marks_dead" not in m.guards and not mine:
        return
    after = _with_lease(s, v, DEAD) if "takeover.marks_dead" in m.guards else s
    for t in mine:
        row = s.rows[t]
        after = put_row(after, t, row._replace(owner=w, fence=row.fence + ("takeover.raises_fence" in m.guards)))
    label = f"w{w} takes over from w{v}: " + (", ".join(f"t{t} {s.rows[t].state}" for t in mine) or "nothing")
    yield True, f"{label}, the commit's answer is lost", after
    for t in mine:
        after = drive(m, after, t, w)
    yield False, label, after


def sweep(m: Model, s: State) -> Iterator[Step]:
    """The self-sweep: rows of mine that no coroutine of mine drives (a commit's answer was lost)."""
    if "sweep" not in m.guards:
        return
    for t, row in enumerate(s.rows):
        if row.owner == NOBODY or row.state == QUEUED:
            continue
        worker = s.workers[row.owner]
        if not worker.up or (worker.lease != VALID and "takeover.live" in m.guards):
            continue
        driving = sum(c.task == t and c.worker == row.owner and c.fence == row.fence for c in s.coroutines)
        overlooked = m.twins and driving == 1 == sum(c.task == t and m.can_act(s, c) for c in s.coroutines)
        if driving == 0 or overlooked:
            yield False, f"w{row.owner} finds its own t{t} undriven and drives it", drive(m, s, t, row.owner)


def _with_lease(s: State, w: int, lease: str) -> State:
    return s._replace(workers=put(s.workers, w, s.workers[w]._replace(lease=lease)))
