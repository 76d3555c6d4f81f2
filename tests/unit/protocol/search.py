"""Breadth first through every reachable state; the shortest trace of the first breach; then, who can still end."""

import gc
from dataclasses import dataclass

from .invariants import Breach, breach_of_state, breach_of_step, finished
from .model import Model
from .moves import moves
from .reduction import reduced
from .state import State


@dataclass(frozen=True)
class Verdict:
    breach: Breach | None
    """None: safe, and live."""
    states: int
    path: tuple[State, ...]
    """Reduced states from the start to the one that is stuck, or from which the breach is one step."""


@dataclass
class Space:
    """The states found so far, in the order found."""

    states: list[State]
    number: dict[State, int]
    parents: list[int]
    before: list[list[int]]
    """By which states each one is entered without a fault."""

    def path(self, i: int) -> tuple[State, ...]:
        numbers: list[int] = []
        while i >= 0:
            numbers.append(i)
            i = self.parents[i]
        return tuple(self.states[n] for n in reversed(numbers))


def check(m: Model) -> Verdict:
    """The first breach there is, else whether every state can end."""
    gc.disable()  # millions of tuples, none of them in a cycle: looking for cycles only costs time
    try:
        return _search(m)
    finally:
        gc.enable()


def _search(m: Model) -> Verdict:
    start = reduced(m, m.start())
    space = Space([start], {start: 0}, [-1], [[]])
    known: dict[State, int] = {}  # unreduced states already judged, with the number of their reduced form
    states, number = space.states, space.number
    for i, s in enumerate(states):
        for fault, _, after in moves(m, s):
            j = known.get(after)
            unmoved = after.rows is s.rows and after.sites is s.sites
            breach = None if unmoved else breach_of_step(m, s, after) or breach_of_state(m, after)
            if breach:
                return Verdict(breach, len(states), space.path(i))
            if j is None:
                small = reduced(m, after)
                j = number.get(small)
                if j is None:
                    j = number[small] = len(states)
                    states.append(small)
                    space.parents.append(i)
                    space.before.append([])
                known[after] = j
            if not fault and i != j:
                space.before[j].append(i)
    stuck = _first_stuck(m, space)
    if stuck is None:
        return Verdict(None, len(states), ())
    return Verdict(Breach.STUCK, len(states), space.path(stuck))


def _first_stuck(m: Model, space: Space) -> int | None:
    """From the ends backwards through steps that are no faults: whoever is not met cannot end."""
    ends = [finished(m, s) for s in space.states]
    todo = [i for i, end in enumerate(ends) if end]
    while todo:
        for i in space.before[todo.pop()]:
            if not ends[i]:
                ends[i] = True
                todo.append(i)
    return ends.index(False) if False in ends else None
