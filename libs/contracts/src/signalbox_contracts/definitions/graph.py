"""Graphs of steps: their order, what lies upstream, and the cycle that makes one impossible."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


class InvalidGraph(ValueError):
    """The graph cannot be walked; the text names the steps."""

    def __init__(self, text: str, steps: Sequence[str]) -> None:
        super().__init__(text)
        self.steps = tuple(steps)


def order(edges: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The steps so that each follows all it waits for. `edges` maps each step to those it waits for.

    Steps that could go in either order keep the order in which they were written. Raises `InvalidGraph` for an
    unknown step or a cycle, which it names: `a → b → a`.
    """
    for step, waits_for in edges.items():
        for other in waits_for:
            if other not in edges:
                raise InvalidGraph(f"step {step!r} depends on {other!r}: allowed are {', '.join(edges)}", [step])
    try:
        return tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        cycle: list[str] = error.args[1]
        cycle.reverse()
        raise InvalidGraph(f"steps wait for each other: {' → '.join(cycle)}", cycle) from None


def upstream(edges: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """For each step everything that lies before it, near and far."""
    before: dict[str, frozenset[str]] = {}
    for step in order(edges):
        near = edges[step]
        before[step] = frozenset(near).union(*(before[other] for other in near))
    return before
