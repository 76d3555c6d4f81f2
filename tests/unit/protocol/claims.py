"""Claiming: the claim transaction, the plan's rules, and claims given back."""

from collections.abc import Iterator

from .model import Model
from .state import (
    ACTIVE,
    AT_CLAIM,
    AT_INTENT,
    CLAIMED,
    NOBODY,
    QUEUED,
    VALID,
    Coroutine,
    Dial,
    Row,
    State,
    Step,
    add,
    drop,
    put_row,
)
from .submits import intend


def claim(m: Model, s: State) -> Iterator[Step]:
    """One transaction under its locks; where a lock is missing, a look now and the write at any later moment."""
    for w, worker in enumerate(s.workers):
        if not worker.up or (worker.lease != VALID and "claim.own_row" in m.guards):
            continue
        for t, row in enumerate(s.rows):
            if row.state != QUEUED or not m.engine_room(s, t) or not m.plan_room(s, s.dial.limit):
                continue
            if not m.claims_in_two_steps:
                yield from _claimed(m, s, w, t)
                continue
            remembered = 0 if "claim.fresh_limit" in m.guards else s.dial.limit
            look = Coroutine(w, t, 0, 0, AT_CLAIM, remembered)
            if look not in s.coroutines:
                yield False, f"w{w} looks before a claim of t{t}", s._replace(coroutines=add(s.coroutines, look))


def claim_after_look(m: Model, s: State) -> Iterator[Step]:
    for me in s.coroutines:
        if me.at != AT_CLAIM:
            continue
        left = s._replace(coroutines=drop(s.coroutines, me))
        if _still_claimable(m, s, me):
            yield from _claimed(m, left, me.worker, me.task)
        else:
            yield False, f"w{me.worker} claims t{me.task} (0 rows)", left


def _still_claimable(m: Model, s: State, me: Coroutine) -> bool:
    """What the write itself checks: exactly the guards it has."""
    guards = m.guards
    if "claim.state" in guards and s.rows[me.task].state != QUEUED:
        return False
    if {"claim.own_row", "claim.own_row_lock"} <= guards and s.workers[me.worker].lease != VALID:
        return False
    if "claim.group_lock" in guards and not m.engine_room(s, me.task):
        return False
    limit = s.dial.limit if "claim.fresh_limit" in guards else me.key
    return "claim.plan_lock" not in guards or m.plan_room(s, limit)


def _claimed(m: Model, s: State, w: int, t: int) -> Iterator[Step]:
    row = s.rows[t]
    fence = row.fence + 1
    after = put_row(s, t, Row(CLAIMED, row.attempt, fence, w, row.cancel, 0, 0))
    me = Coroutine(w, t, fence, row.attempt, AT_INTENT, 0)
    label = f"w{w} claims t{t} (attempt {row.attempt}, fence {fence})"
    claimed = after._replace(coroutines=add(s.coroutines, me))
    if m.claim_intends:
        yield from ((fault, f"{label}; {then}", sent) for fault, then, sent in intend(m, claimed, me))
        return
    yield False, label, claimed
    yield True, f"{label}, the commit's answer is lost", after


def give_back(m: Model, s: State) -> Iterator[Step]:
    """A worker that drains returns what it has not sent. The coroutine itself can be slow to notice."""
    if not m.gives_back:
        return
    for me in s.coroutines:
        row = s.rows[me.task]
        if me.at != AT_INTENT or row.owner != me.worker or sum(m.can_act(s, c) for c in s.coroutines) > 1:
            continue
        expected = row.state == CLAIMED if "give_back.state" in m.guards else row.state in ACTIVE
        if expected and ("give_back.fence" not in m.guards or row.fence == me.fence):
            after = put_row(s, me.task, Row(QUEUED, row.attempt, row.fence, NOBODY, row.cancel, 0, 0))
            yield True, f"w{me.worker} gives t{me.task} back", after


def new_rules(m: Model, s: State) -> Iterator[Step]:
    """The planner's rules for the plan arrive: late, repeated, in any order."""
    for version in range(len(m.dial)):
        dial = s.dial
        if version == dial.version or ("rules.version" in m.guards and version < dial.version):
            continue
        after = Dial(m.dial[version], version, max(version, dial.newest))
        yield False, f"rules v{version} arrive: the plan's limit is {after.limit}", s._replace(dial=after)
