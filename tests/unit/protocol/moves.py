"""Everything that can happen next: each function is one statement, or one thing the world does."""

from collections.abc import Callable, Iterator

from . import cancels, claims, deadlines, engine, observation, submits, workers
from .model import Model
from .state import State, Step

STEPS: tuple[Callable[[Model, State], Iterator[Step]], ...] = (
    workers.lease_runs_out,
    workers.renew_too_late,
    workers.die,
    workers.take_over,
    workers.sweep,
    claims.claim,
    claims.claim_after_look,
    claims.give_back,
    claims.new_rules,
    submits.go_on,
    observation.take_lease,
    observation.hang,
    observation.look,
    observation.ask_later,
    observation.write,
    cancels.cancel,
    cancels.cancel_after_look,
    cancels.stop,
    cancels.seal,
    cancels.resolve,
    deadlines.expire,
    deadlines.give_up,
    engine.happen,
)


def moves(m: Model, s: State) -> Iterator[Step]:
    for step in STEPS:
        yield from step(m, s)
