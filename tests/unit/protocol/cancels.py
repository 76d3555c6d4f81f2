"""Cancel, stop and seal, and what becomes of UNKNOWN."""

from collections.abc import Iterator

from .engine import fence_taken, with_phase
from .model import Model
from .state import (
    ABSENT,
    AT_CANCEL,
    AT_RESOLVE,
    CANCELLED,
    CLAIMED,
    DONE,
    FAILED,
    LIVE,
    NOBODY,
    OBSERVED,
    QUEUED,
    RUNNING,
    SEALED,
    SUBMITTING,
    TERMINAL,
    UNKNOWN,
    Coroutine,
    Row,
    State,
    Step,
    add,
    drop,
    phase_of,
    put,
    put_row,
)
from .submits import attempt_over


def finished_by_cancel(m: Model, state: str) -> bool:
    """Rows of which nothing was ever sent for this attempt end at once; of others the flag is set."""
    if state == CLAIMED:
        return "cancel.claimed" in m.guards
    return state == QUEUED or (state == SUBMITTING and m.cancel_submitting == "at once")


def cancel(m: Model, s: State) -> Iterator[Step]:
    """The command, at any moment; the caller need not hear the answer, a second one changes nothing."""
    if not m.cancels:
        return
    for t, row in enumerate(s.rows):
        if row.cancel or row.state in TERMINAL:
            continue
        if "cancel.one_statement" in m.guards:
            yield True, *_cancelled(m, s, t, row.state)
            continue
        look = Coroutine(-1, t, 0, row.attempt, AT_CANCEL, int(finished_by_cancel(m, row.state)))
        if not any(c.at == AT_CANCEL and c.task == t for c in s.coroutines):
            yield True, f"a cancel of t{t} reads {row.state}", s._replace(coroutines=add(s.coroutines, look))


def cancel_after_look(m: Model, s: State) -> Iterator[Step]:
    """The wrong cancel in two statements: what it does was decided on the state it read."""
    for me in s.coroutines:
        if me.at == AT_CANCEL and s.rows[me.task].state not in TERMINAL:
            left = s._replace(coroutines=drop(s.coroutines, me))
            yield True, *_cancelled(m, left, me.task, QUEUED if me.key else RUNNING)


def _cancelled(m: Model, s: State, t: int, read: str) -> tuple[str, State]:
    row = s.rows[t]
    if finished_by_cancel(m, read):
        return f"cancel of t{t}: CANCELLED", put_row(
            s, t, Row(CANCELLED, row.attempt, row.fence, NOBODY, True, row.handle, 0)
        )
    return f"cancel of t{t}: the flag is set", put_row(s, t, row._replace(cancel=True))


def stop(m: Model, s: State) -> Iterator[Step]:
    """Bound to the run key, repeated until the run is seen terminal."""
    for t, (row, site) in enumerate(zip(s.rows, s.sites, strict=True)):
        overdue = m.deadlines and row.state in OBSERVED
        if not (row.cancel or overdue):
            continue
        key = row.attempt if row.state == SUBMITTING and not m.key_per_send else row.handle
        if not key or key in site.stops or phase_of(site, key) not in (LIVE, ABSENT):
            continue
        after = s._replace(sites=put(s.sites, t, site._replace(stops=tuple(sorted((*site.stops, key))))))
        if row.state == RUNNING and "cancel.seen_terminal" not in m.guards:
            yield (
                False,
                f"stop of key {key} is sent, t{t} is CANCELLED",
                put_row(after, t, attempt_over(m, row, cancelled=True)),
            )
        else:
            yield not row.cancel, f"stop of key {key} is sent", after


def seal(m: Model, s: State) -> Iterator[Step]:
    """Make a key unusable, if it is still unused: on the engine, or in the start fence."""
    for t, (row, site) in enumerate(zip(s.rows, s.sites, strict=True)):
        for_cancel = row.state == SUBMITTING and row.cancel and m.cancel_submitting == "seal"
        for_unknown = row.state == UNKNOWN and m.unknown == "seal"
        if not (for_cancel or for_unknown) or _used(m, s, t):
            continue
        runs = with_phase(site, m.key(row.attempt, 0), SEALED)
        yield (
            False,
            f"attempt {row.attempt} of t{t} is sealed",
            s._replace(sites=put(s.sites, t, site._replace(runs=runs))),
        )


def _used(m: Model, s: State, t: int) -> bool:
    site, attempt = s.sites[t], s.rows[t].attempt
    if m.start_fence:
        return fence_taken(m, site, attempt)
    return any(m.attempt_of(key) == attempt for key, _ in site.runs)


def resolve(m: Model, s: State) -> Iterator[Step]:
    """UNKNOWN by a policy, or by a person who looked and found that this attempt is over."""
    for t, row in enumerate(s.rows):
        if row.state != UNKNOWN:
            continue
        if m.unknown == "fail":
            yield False, f"policy: t{t} is FAILED", put_row(s, t, row._replace(state=FAILED))
        elif m.unknown == "retry":
            yield False, f"policy: t{t} attempt over", put_row(s, t, attempt_over(m, row, cancelled=row.cancel))
        elif m.unknown == "person":
            yield from _resolve_by_hand(m, s, t)


def _resolve_by_hand(m: Model, s: State, t: int) -> Iterator[Step]:
    """The person judges an attempt whose run is over for certain. The command can arrive late, and again."""
    row, site = s.rows[t], s.sites[t]
    command = Coroutine(-1, t, 0, row.attempt, AT_RESOLVE, 0)
    no_run = not site.forgotten and not any(phase in (LIVE, DONE) for _, phase in site.runs)
    if no_run and command not in s.coroutines:
        label = f"a person looks and says: attempt {row.attempt} of t{t} is over"
        yield False, label, s._replace(coroutines=add(s.coroutines, command))
    for me in s.coroutines:
        if me.at == AT_RESOLVE and me.task == t and ("resolve.attempt" not in m.guards or me.attempt == row.attempt):
            label = f"the person's word on attempt {me.attempt} of t{t} arrives: attempt {row.attempt} is over"
            yield False, label, put_row(s, t, attempt_over(m, row, cancelled=row.cancel))
