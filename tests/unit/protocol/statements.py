"""What the protocol does to a row, by name: the model's own steps, each in a moment in which it can be taken.

Of what the model does not have (faults, stops, causes), each statement says what it may change.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any

from . import cancels, claims, deadlines, observation, submits, workers
from .invariants import breach_of_step
from .model import Model
from .state import (
    ABSENT,
    AT_ANSWER,
    AT_INTENT,
    AT_REJECTION,
    AT_RESEND,
    BROKEN,
    DONE,
    EMPTY,
    EXPIRED,
    IDLE,
    LIVE,
    OBSERVED,
    RUNNING,
    SEALED,
    TERMINAL,
    VALID,
    Coroutine,
    Dial,
    Lease,
    Row,
    Seen,
    State,
    Step,
    Watch,
    Worker,
)


class Statement(StrEnum):
    """What the protocol does to a row."""

    ACCEPT = "accept"
    CLAIM = "claim"
    INTENT = "intent"
    RAISE_SENDS = "raise sends"
    RECORD = "record"
    OBSERVE = "observe: it runs"
    SUCCEED = "observe: it succeeded"
    RETRY = "observe: over, another try"
    OVER = "observe: over"
    LOSE = "observe: UNKNOWN"
    RESOLVE = "resolve"
    CANCEL = "cancel"
    STOP_INTENT = "stop intent"
    TAKE_OVER = "take over"
    GIVE_BACK = "give back"
    REFUSE = "refuse"
    SETTLE = "settle"
    EXPIRE = "expire"
    PUBLISH = "say"
    RESTORE = "restore"
    """The database was put back: every row goes on above all that it ever was."""


ME, OTHER = 0, 1
Where = tuple[Callable[[Model, State], Iterator[Step]], State]
"""A step of the model, and a moment in which it can be taken."""


def _moment(row: Row, *, me: Coroutine | None = None, seen: str = "", key: str = "", mine: str = VALID) -> State:
    """The row, and around it what its statement needs: who drives it, what an observer saw, what the engine has."""
    runs = ((row.attempt, key),) if key else ()
    known = (row.attempt,) if key and key != SEALED else ()
    watch = Watch(1, ((0, Seen(row.attempt, row.handle, seen, row.cancel, ())),)) if seen else IDLE
    return State(
        (row,),
        (EMPTY._replace(runs=runs, known=known),),
        (Worker(mine, True), Worker(VALID, True), Worker(VALID, True)),
        (Lease(ME, 1),),
        ((watch,), (IDLE,), (IDLE,)),
        (me,) if me else (),
        Dial(99, 0, 0),
    )


def _at(row: Row, at: str) -> Coroutine:
    return Coroutine(ME, 0, row.fence, row.attempt, at, row.attempt)


def _observed(phase: str) -> Callable[[Row], list[Where]]:
    return lambda row: [(observation.write, _moment(row, seen=phase))]


STEPS: dict[Statement, Callable[[Row], list[Where]]] = {
    Statement.CLAIM: lambda row: [(claims.claim, _moment(row))],
    Statement.INTENT: lambda row: [(submits.go_on, _moment(row, me=_at(row, AT_INTENT)))],
    Statement.RAISE_SENDS: lambda row: [(submits.go_on, _moment(row, me=_at(row, AT_RESEND)))],
    Statement.RECORD: lambda row: [(submits.go_on, _moment(row, me=_at(row, AT_ANSWER), key=LIVE))],
    Statement.REFUSE: lambda row: [(submits.go_on, _moment(row, me=_at(row, AT_REJECTION)))],
    Statement.SETTLE: lambda row: [
        (submits.go_on, _moment(row, me=_at(row, AT_ANSWER), key=SEALED)),
        (deadlines.give_up, _moment(row, me=_at(row, AT_ANSWER))),
    ],
    Statement.GIVE_BACK: lambda row: [(claims.give_back, _moment(row, me=_at(row, AT_INTENT)))],
    Statement.TAKE_OVER: lambda row: [(workers.take_over, _moment(row, mine=EXPIRED))],
    Statement.CANCEL: lambda row: [(cancels.cancel, _moment(row))],
    Statement.EXPIRE: lambda row: [(deadlines.expire, _moment(row))],
    Statement.OBSERVE: _observed(LIVE),
    Statement.SUCCEED: _observed(DONE),
    Statement.LOSE: _observed(ABSENT),
    Statement.RESOLVE: lambda row: [(cancels.resolve, _moment(row))],
    Statement.RETRY: _observed(BROKEN),
    Statement.OVER: _observed(BROKEN),
}
_OVER = {"state", "attempt", "faults", "owner", "sends", "handle", "stopping", "cause", "phase"}
MAY_CHANGE: dict[Statement, set[str]] = {
    Statement.CLAIM: {"state", "owner", "fence"},
    Statement.INTENT: {"state", "sends", "cause", "phase"},
    Statement.RAISE_SENDS: {"sends"},
    Statement.RECORD: {"state", "owner", "handle", "phase"},
    Statement.REFUSE: _OVER,
    Statement.SETTLE: _OVER,
    Statement.GIVE_BACK: {"state", "owner"},
    Statement.TAKE_OVER: {"owner", "fence"},
    Statement.CANCEL: {"state", "owner", "cancelled", "kill", "cause"},
    Statement.EXPIRE: {"state", "cause"},
    Statement.OBSERVE: {"state", "handle", "cause", "stopping", "phase"},
    Statement.SUCCEED: {"state", "handle", "cause", "phase"},
    Statement.LOSE: {"state", "handle", "cause", "phase"},
    Statement.RESOLVE: _OVER,
    Statement.RETRY: _OVER,
    Statement.OVER: {"state", "handle", "cause", "phase"},
    Statement.STOP_INTENT: {"stopping"},
    Statement.PUBLISH: set(),
}
"""Beside the version, of which `UNTOLD` say which leave it."""
UNTOLD = {Statement.RAISE_SENDS, Statement.TAKE_OVER}
TAKES = {Statement.CLAIM, Statement.TAKE_OVER}
DRIVES = {
    Statement.INTENT,
    Statement.RAISE_SENDS,
    Statement.RECORD,
    Statement.REFUSE,
    Statement.SETTLE,
    Statement.GIVE_BACK,
}
"""Only the owner's process does these."""
TRIES_AGAIN = {Statement.RETRY, Statement.RESOLVE, Statement.REFUSE, Statement.SETTLE}
"""The attempt may be over, and another follow."""


@lru_cache(maxsize=100_000)
def possible(before: Row, after: Row) -> tuple[Statement, ...]:
    """The statements that the model has for this change."""
    if before == after:
        again = [Statement.CANCEL] if before.cancel else []
        counted = [Statement.RAISE_SENDS] if before.sends == 2 else []
        seen = [Statement.OBSERVE] if before.state == RUNNING else []
        stopped = [Statement.STOP_INTENT] if before.state in OBSERVED else []
        return (Statement.PUBLISH, *again, *counted, *seen, *stopped)
    return tuple(name for name in STEPS if after in _successors(before, name))


def _successors(row: Row, name: Statement) -> Iterator[Row]:
    """What the model's own step makes of the row, with and without another try left, by each policy."""
    world: dict[str, Any] = {"deadlines": True, "gives_back": True, "rejects": True, "unknown_may_be_false": True}
    for attempts in (row.attempt, row.attempt + 1):
        for unknown in ("fail", "retry") if name is Statement.RESOLVE else ("wait",):
            m = Model(attempts=attempts, unknown=unknown, **world)
            for step, moment in STEPS[name](row):
                for _, _, after in step(m, moment):
                    if breach_of_step(m, moment, after) is None:
                        yield _plain(after.rows[0])


def _plain(row: Row) -> Row:
    """A terminal row's handle and sends decide nothing."""
    return row._replace(handle=0, sends=0) if row.state in TERMINAL else row
