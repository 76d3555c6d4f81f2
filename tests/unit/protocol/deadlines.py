"""Time limits: they may end or stop a task at any moment, and nothing may depend on it that they ever do."""

from collections.abc import Iterator

from .model import Model
from .state import AT_ANSWER, FAILED, NOBODY, QUEUED, RUNNING, TERMINAL, UNKNOWN, State, Step, put_row
from .submits import unknown, written


def expire(m: Model, s: State) -> Iterator[Step]:
    """It waited too long: nothing of this attempt was sent, so it ends at once."""
    if not m.deadlines:
        return
    for t, row in enumerate(s.rows):
        if row.state == QUEUED or ("expire.state" not in m.guards and row.state not in TERMINAL):
            yield (
                True,
                f"t{t} waited too long: FAILED",
                put_row(s, t, row._replace(state=FAILED, owner=NOBODY, sends=0)),
            )


def give_up(m: Model, s: State) -> Iterator[Step]:
    """No answer to a submit, or a run that is not seen ended after its stop: nobody knows, so UNKNOWN."""
    if not m.deadlines:
        return
    for me in s.coroutines:
        if me.at == AT_ANSWER:
            _, label, after = written(m, s, me, f"gives up on key {me.key}: UNKNOWN", unknown(s.rows[me.task], me))
            yield True, label, after
    for t, row in enumerate(s.rows):
        if row.state == RUNNING and row.handle in s.sites[t].stops:
            yield True, f"t{t} does not stop: UNKNOWN", put_row(s, t, row._replace(state=UNKNOWN))
