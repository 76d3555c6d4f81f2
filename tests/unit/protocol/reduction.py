"""States that nobody can tell apart become one: memory that can never act again goes, fences keep only their order,
workers and tasks that are alike are sorted."""

from functools import lru_cache

from .model import Model
from .state import (
    ABSENT,
    AT_CANCEL,
    AT_CLAIM,
    AT_RESOLVE,
    DEAD,
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
    put,
)

UNFENCED = frozenset({AT_CLAIM, AT_CANCEL, AT_RESOLVE})
NO_RETURN = frozenset({"claim.own_row", "takeover.live", "renew.not_expired", "renew.not_dead"})
NO_REOPENING = frozenset({"intent.state", "record.state", "observation.state", "claim.state", "give_back.state"})
GONE = Worker(DEAD, False)


def reduced(m: Model, s: State) -> State:
    watches, leases = _ranked_leases(s.leases, _watches_that_matter(m, s) if m.reduce else s.watches)
    if not m.reduce:
        rows, coroutines = _ranked_fences(m, s.rows, s.coroutines)
        return State(rows, s.sites, s.workers, leases, watches, coroutines, s.dial)
    coroutines = tuple(c for c in s.coroutines if m.can_act(s, c)) if s.coroutines else ()
    rows, coroutines = _ranked_fences(m, s.rows, coroutines)
    workers = _buried(m, s.workers, rows, leases, watches, coroutines)
    sites = tuple(_tidied(m, site) for site in s.sites)
    if any(row.state in TERMINAL for row in rows):
        if not coroutines and "observation.state" in m.guards and all(row.state in TERMINAL for row in rows):
            watches, leases = ((IDLE,) * len(leases),) * m.workers, (Lease(NOBODY, 0),) * len(leases)
            workers = (Worker(DEAD, False),) * m.workers
        rows = _without_the_past(m, rows, coroutines)
    return _sort_tasks(m, _sort_workers(m, State(rows, sites, workers, leases, watches, coroutines, s.dial)))


@lru_cache(maxsize=100_000)
def _ranked_leases(
    held: tuple[Lease, ...], watches: tuple[tuple[Watch, ...], ...]
) -> tuple[tuple[tuple[Watch, ...], ...], tuple[Lease, ...]]:
    """Of an engine lease's fences only the order matters; 0 and less are no fences."""
    if all(lease.fence <= 1 for lease in held):
        return watches, held
    leases, columns = list(held), [list(row) for row in watches]
    for e, lease in enumerate(held):
        fences = {0, lease.fence, *(row[e].fence for row in watches if row[e].fence > 0)}
        rank = {fence: rank for rank, fence in enumerate(sorted(fences))}
        leases[e] = Lease(lease.holder, rank[lease.fence])
        for row in columns:
            if row[e].fence > 0:
                row[e] = Watch(rank[row[e].fence], row[e].seen)
    return tuple(tuple(row) for row in columns), tuple(leases)


def _ranked_fences(
    m: Model, rows: tuple[Row, ...], coroutines: tuple[Coroutine, ...]
) -> tuple[tuple[Row, ...], tuple[Coroutine, ...]]:
    """So it is with a task's fences, unless they are also names of keys and copies."""
    if m.key_per_send or not m.copies_repeat:
        return rows, coroutines
    for t, row in enumerate(rows):
        fences = {row.fence}
        for c in coroutines:
            if c.task == t and c.at not in UNFENCED:
                fences.add(c.fence)
        if max(fences) < len(fences):
            continue
        rank = {fence: rank for rank, fence in enumerate(sorted(fences))}
        rows = put(rows, t, row._replace(fence=rank[row.fence]))
        coroutines = tuple(
            c._replace(fence=rank[c.fence]) if c.task == t and c.at not in UNFENCED else c for c in coroutines
        )
    return rows, coroutines if len(coroutines) < 2 else tuple(sorted(coroutines))


def _watches_that_matter(m: Model, s: State) -> tuple[tuple[Watch, ...], ...]:
    """An observer whose writes cannot match any more is an idle one; so is a single thing seen that cannot."""
    if all(watch.fence <= 0 for row in s.watches for watch in row):
        return s.watches
    return tuple(
        [
            tuple([watch if watch.fence <= 0 else _what_matters(m, s, w, e, watch) for e, watch in enumerate(row)])
            for w, row in enumerate(s.watches)
        ]
    )


def _what_matters(m: Model, s: State, w: int, e: int, watch: Watch) -> Watch:
    guards = m.guards
    if "observation.engine_fence" in guards and s.leases[e] != (w, watch.fence):
        return IDLE
    if not watch.seen:
        return watch
    seen = tuple(
        (t, one)
        for t, one in watch.seen
        if not ("observation.attempt" in guards and one.attempt and one.attempt != s.rows[t].attempt)
        and not ("observation.state" in guards and s.rows[t].state in TERMINAL)
    )
    return Watch(watch.fence, seen)


def _tidied(m: Model, site: Site) -> Site:
    """On an engine that keeps what it saw, a copy of a known key and a stop of an ended run do nothing."""
    flying, stops = site.flying, site.stops
    if flying and site.runs and m.copies_repeat and not (m.forgets or m.stop_deletes):
        there = {key for key, _ in site.runs}
        flying = tuple(copy for copy in flying if copy[0] not in there)
    if stops:
        stops = tuple(key for key in stops if phase_of(site, key) in (LIVE, ABSENT))
    if flying is site.flying and stops is site.stops:
        return site
    return Site(site.runs, flying, stops, site.known, site.forgotten)


def _buried(
    m: Model,
    workers: tuple[Worker, ...],
    rows: tuple[Row, ...],
    leases: tuple[Lease, ...],
    watches: tuple[tuple[Watch, ...], ...],
    coroutines: tuple[Coroutine, ...],
) -> tuple[Worker, ...]:
    """A worker that is gone and owns nothing is one more dead one, whatever became of it."""
    if not m.guards >= NO_RETURN or all(worker.up and worker.lease == VALID for worker in workers):
        return workers
    busy = {row.owner for row in rows} | {c.worker for c in coroutines} | {lease.holder for lease in leases}
    return tuple(
        GONE
        if w not in busy and (worker.lease != VALID or not worker.up) and all(watch == IDLE for watch in watches[w])
        else worker
        for w, worker in enumerate(workers)
    )


def _without_the_past(m: Model, rows: tuple[Row, ...], coroutines: tuple[Coroutine, ...]) -> tuple[Row, ...]:
    """Of a terminal row only the state counts, and what a late writer might still match. All of it, where some write
    does not check the state: it would decide on the cancel flag that is there."""
    if not m.guards >= NO_REOPENING:
        return rows
    fenced = {c.task for c in coroutines} if m.copies_repeat else set(range(m.tasks))
    return tuple(
        Row(row.state, row.attempt, row.fence if t in fenced else 0, NOBODY, False, 0, 0)
        if row.state in TERMINAL
        else row
        for t, row in enumerate(rows)
    )


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
    if m.tasks != 2 or m.silent or m.hangs or (m.engines == 2 and len(s.leases) == 1):
        return s
    first, second = (s.rows[0], s.sites[0]), (s.rows[1], s.sites[1])
    if first < second:
        return s
    other = _tasks_swapped(s, engines=m.engines == 2)
    return other if first > second or other < s else s


def _tasks_swapped(s: State, *, engines: bool) -> State:
    def turned(watch: Watch) -> Watch:
        return watch if not watch.seen else Watch(watch.fence, tuple(sorted((1 - t, seen) for t, seen in watch.seen)))

    order = -1 if engines else 1
    watches = tuple(tuple(turned(watch) for watch in row[::order]) for row in s.watches)
    return s._replace(
        rows=s.rows[::-1],
        sites=s.sites[::-1],
        leases=s.leases[::order],
        watches=watches,
        coroutines=tuple(sorted(c._replace(task=1 - c.task) for c in s.coroutines)),
    )
