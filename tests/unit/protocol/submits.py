"""One coroutine's way from CLAIMED to RUNNING: intent, submit, re-send, record; and what the engine refuses."""

from collections.abc import Iterator

from .model import Model
from .state import (
    AT_ANSWER,
    AT_INTENT,
    AT_REJECTION,
    AT_RESEND,
    CANCELLED,
    CLAIMED,
    FAILED,
    NOBODY,
    QUEUED,
    RUNNING,
    SEALED,
    STARTED,
    SUBMITTING,
    UNKNOWN,
    Coroutine,
    Row,
    Site,
    State,
    Step,
    add,
    drop,
    phase_of,
    put,
    put_row,
)


def attempt_over(m: Model, row: Row, *, cancelled: bool) -> Row:
    """The attempt ended without success: CANCELLED, the next attempt, or FAILED. Part of the UPDATE that says so."""
    if cancelled:
        return row._replace(state=CANCELLED, owner=NOBODY, sends=0)
    if row.attempt < m.attempts:
        return Row(QUEUED, row.attempt + 1, row.fence, NOBODY, row.cancel, 0, 0)
    return row._replace(state=FAILED, owner=NOBODY, sends=0)


def unknown(row: Row, me: Coroutine) -> Row:
    """Given up: nobody drives it any more, and nobody knows what became of its copies."""
    return Row(UNKNOWN, row.attempt, row.fence, NOBODY, row.cancel, me.key, 0)


def sending(m: Model, s: State, me: Coroutine, key: int) -> tuple[Site, ...]:
    """A copy of the submit is under way from here on."""
    site = s.sites[me.task]
    copy = (key, 0 if m.copies_repeat else me.fence)
    flying = site.flying if copy in site.flying else tuple(sorted((*site.flying, copy)))
    return put(s.sites, me.task, site._replace(flying=flying))


def drive(m: Model, s: State, t: int, w: int) -> State:
    """A new coroutine of worker w for a row it owns: to the intent, or to a re-send with the same key."""
    row = s.rows[t]
    if row.state == CLAIMED:
        me = Coroutine(w, t, row.fence, row.attempt, AT_INTENT, 0)
    else:
        me = Coroutine(w, t, row.fence, row.attempt, AT_RESEND, m.key(row.attempt, row.fence))
    after = s._replace(coroutines=tuple(sorted((*s.coroutines, me))))
    # where no engine rejects, sends decides nothing: the re-send is then folded into this step
    folded = me.at == AT_RESEND and m.asks_twice and not m.rejects
    return _sent_again(m, after, me) if folded else after


def _sent_again(m: Model, s: State, me: Coroutine) -> State:
    waiting = add(drop(s.coroutines, me), me._replace(at=AT_ANSWER))
    return s._replace(sites=sending(m, s, me, me.key), coroutines=waiting)


def intend(m: Model, s: State, me: Coroutine) -> Iterator[Step]:
    row, left = s.rows[me.task], drop(s.coroutines, me)
    claimed_only_flagged = row.cancel and "cancel.claimed" not in m.guards  # then the intent has to refuse
    if claimed_only_flagged or not m.matches("intent", s, me):
        yield False, f"w{me.worker} intent t{me.task} (0 rows)", s._replace(coroutines=left)
        return
    key = m.key(me.attempt, me.fence)
    after = put_row(s, me.task, Row(SUBMITTING, row.attempt, row.fence, row.owner, row.cancel, 0, 1))
    yield (
        False,
        f"w{me.worker} intent t{me.task}, sends key {key}",
        after._replace(sites=sending(m, s, me, key), coroutines=add(left, me._replace(at=AT_ANSWER, key=key))),
    )
    yield True, f"w{me.worker} intent t{me.task}, the commit's answer is lost", after._replace(coroutines=left)


def resend(m: Model, s: State, me: Coroutine) -> Iterator[Step]:
    row, left = s.rows[me.task], drop(s.coroutines, me)
    guards = m.guards
    if not m.asks_twice:
        yield written(m, s, me, f"may have sent key {me.key}, and never asks twice: UNKNOWN", unknown(row, me))
        return
    refused = ("resend.state" in guards and row.state != SUBMITTING) or (
        "resend.fence" in guards and row.fence != me.fence
    )
    if refused:
        yield False, f"w{me.worker} re-sends key {me.key} (0 rows)", s._replace(coroutines=left)
        return
    after = put_row(s, me.task, row._replace(sends=2)) if "resend.counted" in guards else s
    yield False, f"w{me.worker} re-sends key {me.key}", _sent_again(m, after, me)
    if after is not s:
        lost = after._replace(coroutines=left)
        yield True, f"w{me.worker} raises sends for key {me.key}, the commit's answer is lost", lost


def written(m: Model, s: State, me: Coroutine, what: str, new: Row) -> Step:
    """The guarded write of one that drives: its row, or nothing."""
    left = s._replace(coroutines=drop(s.coroutines, me))
    if m.matches("record", s, me):
        return False, f"w{me.worker} {what}", put_row(left, me.task, new)
    return False, f"w{me.worker} {what} (0 rows)", left


def hear(m: Model, s: State, me: Coroutine) -> Iterator[Step]:
    """What can come back for a submit: exists (also late), sealed, or, for wrong variants, a look-up's 'not found'."""
    row, site = s.rows[me.task], s.sites[me.task]
    over = attempt_over(m, row, cancelled=row.cancel)
    if any(phase == SEALED and m.attempt_of(key) == me.attempt for key, phase in site.runs):
        yield written(m, s, me, f"is told key {me.key} is sealed, attempt over", over)
        if m.start_fence and "fence.sealed_wins" in m.guards:
            return
    if me.key in site.known:
        handle = _winner(m, site, me) if m.start_fence and "fence.winner" in m.guards else me.key
        recorded = Row(RUNNING, row.attempt, row.fence, NOBODY, row.cancel, handle, 0)
        yield written(m, s, me, f"hears key {me.key} exists, records t{me.task} RUNNING with handle {handle}", recorded)
    elif m.new_attempt_on_lookup:
        yield written(m, s, me, f"looks up key {me.key}: not found, queues a new attempt", over)
    elif m.cancel_submitting == "not found" and row.cancel:
        cancelled = attempt_over(m, row, cancelled=True)
        yield written(m, s, me, f"looks up key {me.key}: not found, records CANCELLED", cancelled)


def _winner(m: Model, site: Site, me: Coroutine) -> int:
    """The key that claimed this attempt in the start fence."""
    won = (key for key, phase in site.runs if phase in STARTED and m.attempt_of(key) == me.attempt)
    return next(won, me.key)


def give_up_waiting(m: Model, s: State, me: Coroutine) -> Iterator[Step]:
    """The call timed out: send the same key again. Where copies repeat by themselves this adds nothing."""
    site = s.sites[me.task]
    nothing_on_its_way = me.key not in site.known and not any(key == me.key for key, _ in site.flying)
    if not m.copies_repeat and nothing_on_its_way and phase_of(site, me.key) != SEALED:
        again = add(drop(s.coroutines, me), me._replace(at=AT_RESEND))
        yield False, f"w{me.worker} hears nothing about key {me.key} in time", s._replace(coroutines=again)


def hear_rejection(m: Model, s: State, me: Coroutine) -> Iterator[Step]:
    row = s.rows[me.task]
    if row.sends > 1 and "rejected.single" in m.guards:
        reason = f"was rejected, other copies may be under way: t{me.task} UNKNOWN"
        yield written(m, s, me, reason, unknown(row, me))
    else:
        over = attempt_over(m, row, cancelled=row.cancel)
        yield written(m, s, me, f"was rejected: t{me.task} attempt over", over)


def go_on(m: Model, s: State) -> Iterator[Step]:
    """Every coroutine's next step; all of them may be stale."""
    for me in s.coroutines:
        if me.at == AT_INTENT:
            yield from intend(m, s, me)
        elif me.at == AT_RESEND:
            yield from resend(m, s, me)
        elif me.at == AT_ANSWER:
            yield from hear(m, s, me)
            yield from give_up_waiting(m, s, me)
        elif me.at == AT_REJECTION:
            yield from hear_rejection(m, s, me)
