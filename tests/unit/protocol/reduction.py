"""States that nobody can tell apart become one: memory that can never act again goes, fences keep only their order,
workers and tasks that are alike are sorted."""

from collections.abc import Iterable

from .model import Model
from .state import (
    AT_CLAIM,
    DEAD,
    EXPIRED,
    IDLE,
    LIVE,
    NOBODY,
    TERMINAL,
    VALID,
    Coroutine,
    Lease,
    Row,
    Site,
    State,
    Watch,
    Worker,
    phase_of,
)

OUTSIDE_ROWS = -1  # the worker of commands: nobody


def reduced(m: Model, s: State) -> State:
    s = _rank_leases(s) if not m.reduce else _rank_leases(_forget_observers(m, s))
    if not m.reduce:
        return _rank_fences(m, s)
    coroutines = tuple(c for c in s.coroutines if m.can_act(s, c))
    s = _rank_fences(m, s._replace(coroutines=coroutines, sites=_tidy_sites(m, s)))
    return _sort_tasks(m, _sort_workers(m, _forget_the_ended(m, _bury(m, s))))


def _ranks(fences: Iterable[int]) -> dict[int, int]:
    return {fence: rank for rank, fence in enumerate(sorted(set(fences)))}


def _rank_leases(s: State) -> State:
    """Of an engine lease's fences only the order matters; 0 and less are no fences."""
    if all(lease.fence <= 1 for lease in s.leases):
        return s
    leases, columns = list(s.leases), [list(row) for row in s.watches]
    for e, lease in enumerate(s.leases):
        rank = _ranks([0, lease.fence, *(row[e].fence for row in s.watches if row[e].fence > 0)])
        leases[e] = Lease(lease.holder, rank[lease.fence])
        for row in columns:
            if row[e].fence > 0:
                row[e] = Watch(rank[row[e].fence], row[e].seen)
    return s._replace(leases=tuple(leases), watches=tuple(tuple(row) for row in columns))


def _rank_fences(m: Model, s: State) -> State:
    if m.key_per_send or not m.copies_repeat:  # there fences are also names of keys and copies
        return s
    rows, coroutines = list(s.rows), list(s.coroutines)
    changed = False
    for t, row in enumerate(s.rows):
        mine = [c for c in coroutines if c.task == t and c.at != AT_CLAIM and c.worker != OUTSIDE_ROWS]
        rank = _ranks([row.fence, *(c.fence for c in mine)])
        if any(rank[fence] != fence for fence in rank):
            changed = True
            rows[t] = row._replace(fence=rank[row.fence])
            coroutines = [c._replace(fence=rank[c.fence]) if c in mine else c for c in coroutines]
    return s._replace(rows=tuple(rows), coroutines=tuple(sorted(coroutines))) if changed else s


def _forget_observers(m: Model, s: State) -> State:
    """An observer whose writes cannot match any more is an idle one; so is a single thing seen that cannot."""
    if all(watch is IDLE for row in s.watches for watch in row):
        return s
    guards = m.guards
    watches: list[tuple[Watch, ...]] = []
    for w, row in enumerate(s.watches):
        kept: list[Watch] = []
        for e, watch in enumerate(row):
            if watch.fence <= 0:
                kept.append(watch)
            elif "observation.engine_fence" in guards and s.leases[e] != (w, watch.fence):
                kept.append(IDLE)
            elif watch.seen:
                seen = tuple(
                    (t, one)
                    for t, one in watch.seen
                    if not ("observation.attempt" in guards and one.attempt and one.attempt != s.rows[t].attempt)
                    and not ("observation.state" in guards and s.rows[t].state in TERMINAL)
                )
                kept.append(Watch(watch.fence, seen))
            else:
                kept.append(watch)
        watches.append(tuple(kept))
    return s._replace(watches=tuple(watches))


def _tidy_sites(m: Model, s: State) -> tuple[Site, ...]:
    """On an engine that keeps what it saw, a copy of a known key and a stop of an ended run do nothing."""
    keeps = m.copies_repeat and not (m.forgets or m.stop_deletes)
    sites: list[Site] = []
    for site in s.sites:
        flying, stops = site.flying, site.stops
        if flying and keeps and site.runs:
            there = {key for key, _ in site.runs}
            flying = tuple(copy for copy in flying if copy[0] not in there)
        if stops:
            stops = tuple(key for key in stops if phase_of(site, key) in (LIVE, "not found"))
        same = flying == site.flying and stops == site.stops
        sites.append(site if same else site._replace(flying=flying, stops=stops))
    return tuple(sites)


def _bury(m: Model, s: State) -> State:
    """A worker that is gone and owns nothing is one more dead one, whatever became of it."""
    if not {"claim.own_row", "takeover.live", "renew.not_expired", "renew.not_dead"} <= m.guards:
        return s
    busy = {row.owner for row in s.rows} | {c.worker for c in s.coroutines} | {lease.holder for lease in s.leases}
    workers = tuple(
        Worker(DEAD, False)
        if (worker.lease != VALID or not worker.up) and w not in busy and all(watch == IDLE for watch in s.watches[w])
        else worker
        for w, worker in enumerate(s.workers)
    )
    return s._replace(workers=workers)


def _forget_the_ended(m: Model, s: State) -> State:
    if not any(row.state in TERMINAL for row in s.rows):
        return s
    if not s.coroutines and "observation.state" in m.guards and all(row.state in TERMINAL for row in s.rows):
        idle = ((IDLE,) * len(s.leases),) * m.workers
        gone = (Worker(DEAD, False),) * m.workers
        s = s._replace(workers=gone, leases=(Lease(NOBODY, 0),) * len(s.leases), watches=idle)
    fenced = {c.task for c in s.coroutines} if m.copies_repeat else set(range(m.tasks))
    rows = tuple(
        Row(row.state, row.attempt, row.fence if t in fenced else 0, NOBODY, False, 0, 0)
        if row.state in TERMINAL
        else row
        for t, row in enumerate(s.rows)
    )
    return s._replace(rows=rows)


def _sort_workers(m: Model, s: State) -> State:
    """Workers 0 and 1 are alike where three are modelled, unless one of them is singled out."""
    if m.workers != 3 or m.hangs:
        return s
    first, second = (s.workers[0], s.watches[0]), (s.workers[1], s.watches[1])
    if first < second:
        return s
    other = _workers_swapped(s)
    return other if first > second or other < s else s


def _workers_swapped(s: State) -> State:
    swap = (1, 0, 2, -1)  # the last is NOBODY, found at index -1
    return s._replace(
        rows=tuple(row._replace(owner=swap[row.owner]) if 0 <= row.owner < 2 else row for row in s.rows),
        workers=(s.workers[1], s.workers[0], s.workers[2]),
        leases=tuple(Lease(swap[lease.holder], lease.fence) for lease in s.leases),
        watches=(s.watches[1], s.watches[0], s.watches[2]),
        coroutines=tuple(sorted(c._replace(worker=swap[c.worker]) for c in s.coroutines)),
    )


def _sort_tasks(m: Model, s: State) -> State:
    """Two tasks of one engine are alike, and so are two engines with a task each that are treated alike."""
    if m.tasks != 2 or m.goes_silent or m.hangs or (m.engines == 2 and len(s.leases) == 1):
        return s
    first, second = (s.rows[0], s.sites[0]), (s.rows[1], s.sites[1])
    if first < second:
        return s
    other = _tasks_swapped(s, engines=m.engines == 2)
    return other if first > second or other < s else s


def _tasks_swapped(s: State, *, engines: bool) -> State:
    def turned(watch: Watch) -> Watch:
        return watch if not watch.seen else Watch(watch.fence, tuple(sorted((1 - t, seen) for t, seen in watch.seen)))

    order = (lambda row: row[::-1]) if engines else (lambda row: row)  # type: ignore[reportUnknownLambdaType]
    watches = tuple(tuple(turned(watch) for watch in order(row)) for row in s.watches)
    return s._replace(
        rows=s.rows[::-1],
        sites=s.sites[::-1],
        leases=order(s.leases),
        watches=watches,
        coroutines=tuple(sorted(Coroutine(c.worker, 1 - c.task, *c[2:]) for c in s.coroutines)),
    )


__all__ = ["EXPIRED", "reduced"]
