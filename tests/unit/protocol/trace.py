"""A verdict's path, walked again in the unreduced model: names and fences stay what they are for the reader, and
every printed step is one the model really allows."""

from .invariants import Breach, breach_of_state, breach_of_step
from .model import Model
from .moves import moves
from .reduction import reduced
from .search import Verdict
from .state import State, Step


def replay(m: Model, verdict: Verdict) -> list[Step]:
    """The steps from the start to the breach.

    Raises:
        LookupError: a step of the path is not one of the model's: the reduction is wrong.
    """
    here, steps = m.start(), list[Step]()
    for wanted in verdict.path[1:]:
        step = next((step for step in moves(m, here) if reduced(m, step[2]) == wanted), None)
        if step is None:
            raise LookupError(f"no step leads on after {[label for _, label, _ in steps]}")
        steps.append(step)
        here = step[2]
    if verdict.breach in (None, Breach.STUCK):
        return steps
    last = next((step for step in moves(m, here) if breach(m, here, step[2]) == verdict.breach), None)
    if last is None:
        raise LookupError(f"no step breaks {verdict.breach} after {[label for _, label, _ in steps]}")
    return [*steps, last]


def breach(m: Model, before: State, after: State) -> Breach | None:
    return breach_of_step(m, before, after) or breach_of_state(m, after)


def narrate(m: Model, verdict: Verdict) -> list[str]:
    """The trace as lines; a fault is marked with '!'."""
    steps = replay(m, verdict)
    lines = [f"{i:3} {'!' if fault else ' '} {label}" for i, (fault, label, _) in enumerate(steps, 1)]
    if verdict.breach is Breach.STUCK:
        last = steps[-1][2] if steps else m.start()
        lines += [f"      stuck: {row}" for row in last.rows]
    if verdict.breach:
        lines.append(f"    → {verdict.breach}")
    return lines
