"""Observing an engine in bulk: its lease, one look, and one guarded write for each task."""

from collections.abc import Iterator
from itertools import product

from .model import Model
from .state import (
    ABSENT,
    DONE,
    ENDED,
    HUNG,
    LIVE,
    LOSER,
    NOBODY,
    OBSERVED,
    RUNNING,
    SELECTED,
    SUCCEEDED,
    TERMINAL,
    UNKNOWN,
    VALID,
    Lease,
    Row,
    Seen,
    State,
    Step,
    Watch,
    phase_of,
    put,
    put_row,
)
from .submits import attempt_over


def take_lease(m: Model, s: State) -> Iterator[Step]:
    for w, worker in enumerate(s.workers):
        if not worker.up or worker.lease != VALID:
            continue
        for e, lease in enumerate(s.leases):
            watch = s.watches[w][e]
            if watch == HUNG or (lease.holder == w and watch.fence):
                continue
            gone = lease.holder in (NOBODY, w) or s.workers[lease.holder].lease != VALID
            if gone or "lease.own_end" in m.guards:
                fence = lease.fence + 1
                after = s._replace(leases=put(s.leases, e, Lease(w, fence)))
                label = f"w{w} takes the lease of engine {e} (fence {fence})"
                yield False, label, with_watch(after, w, e, Watch(fence, ()))


def hang(m: Model, s: State) -> Iterator[Step]:
    if m.hangs and s.workers[0].up and s.watches[0][0].fence > 0:
        yield True, "the observer of w0 hangs, its worker lives on", with_watch(s, 0, 0, HUNG)


def look(m: Model, s: State) -> Iterator[Step]:
    """The rows, then the engine, one call for all of them; a choice for each task the answer may differ in."""
    for w, watches in enumerate(s.watches):
        for e, watch in enumerate(watches):
            if watch.fence <= 0 or watch.seen:
                continue
            answers = [
                [(t, seen) for seen in _answers(m, s, t)] for t, at in enumerate(m.task_engine) if at in m.observers[e]
            ]
            for combination in product(*answers):
                seen = tuple((t, one) for t, one in combination if one is not None)
                if seen:
                    what = ", ".join(f"t{t} {_describe(one)}" for t, one in seen)
                    yield False, f"w{w} reads the engine: {what}", with_watch(s, w, e, Watch(watch.fence, seen))


def _describe(seen: Seen) -> str:
    if seen.handle:
        return f"attempt {seen.attempt} key {seen.handle} {seen.phase}"
    return "has " + (", ".join(f"{key} {phase}" for key, phase in seen.runs) or "nothing")


def _answers(m: Model, s: State, t: int) -> list[Seen | None]:
    row = s.rows[t]
    if "observe.rows_first" not in m.guards:  # the engine's whole answer, to be held against rows read later
        return [None if row.state in TERMINAL else Seen(0, 0, "", row.cancel, s.sites[t].runs)]
    if row.state not in OBSERVED:
        return [None]
    if m.looks_twice:
        return [Seen(row.attempt, row.handle, SELECTED, row.cancel, ())]
    return [_worth(row, phase) for phase in _phases(m, s, t, row.handle)]


def _phases(m: Model, s: State, t: int, key: int) -> list[str]:
    real = phase_of(s.sites[t], key)
    return [real, ABSENT] if m.stale_answers and real != ABSENT else [real]


def _worth(row: Row, phase: str) -> Seen | None:
    """None where writing it would change nothing."""
    nothing_new = phase == (LIVE if row.state == RUNNING else ABSENT)
    return None if nothing_new else Seen(row.attempt, row.handle, phase, row.cancel, ())


def ask_later(m: Model, s: State) -> Iterator[Step]:
    """The second half of a look, where time passes between the rows and the engine."""
    for w, watches in enumerate(s.watches):
        for e, watch in enumerate(watches):
            if not any(seen.phase == SELECTED for _, seen in watch.seen):
                continue
            answers = [
                [(t, seen._replace(phase=phase)) for phase in _phases(m, s, t, seen.handle)] for t, seen in watch.seen
            ]
            for seen in product(*answers):
                what = ", ".join(f"t{t} {_describe(one)}" for t, one in seen)
                yield False, f"w{w} asks the engine: {what}", with_watch(s, w, e, Watch(watch.fence, seen))


def write(m: Model, s: State) -> Iterator[Step]:
    for w, watches in enumerate(s.watches):
        for e, watch in enumerate(watches):
            for t, seen in watch.seen:
                if seen.phase == SELECTED:
                    continue
                row = s.rows[t]
                phase = phase_of(s.sites[t]._replace(runs=seen.runs), row.handle) if not seen.handle else seen.phase
                rest = Watch(watch.fence, tuple(one for one in watch.seen if one[0] != t))
                left = with_watch(s, w, e, rest)
                label = f"w{w} writes what it saw of t{t} ({phase})"
                holds = "observation.engine_fence" not in m.guards or s.leases[e] == Lease(w, watch.fence)
                if not holds or not _row_matches(m, row, seen, phase):
                    yield False, f"{label} (0 rows)", left
                    continue
                new = judged(m, row, phase, row.cancel if "over.row_decides" in m.guards else seen.cancel)
                yield False, f"{label}: {new.state}", put_row(left, t, new)
                yield (
                    True,
                    f"{label}: {new.state}, the commit's answer is lost, it will write again",
                    put_row(s, t, new),
                )


def _row_matches(m: Model, row: Row, seen: Seen, phase: str) -> bool:
    if "observation.state" in m.guards and row.state not in OBSERVED:
        return False
    if "observation.attempt" in m.guards and seen.attempt not in (0, row.attempt):
        return False
    return not (phase == ABSENT and row.state == UNKNOWN)


def judged(m: Model, row: Row, phase: str, cancelled: bool) -> Row:
    """What an observation makes of a row."""
    if phase == DONE or (phase == LOSER and "fence.loser_told" not in m.guards):
        return row._replace(state=SUCCEEDED, owner=NOBODY, sends=0)
    if phase == LIVE:
        return row._replace(state=RUNNING)
    if phase in ENDED or (phase == ABSENT and m.not_found == "over"):
        return attempt_over(m, row, cancelled=cancelled)
    return row._replace(state=UNKNOWN)


def with_watch(s: State, w: int, e: int, watch: Watch) -> State:
    return s._replace(watches=put(s.watches, w, put(s.watches[w], e, watch)))
