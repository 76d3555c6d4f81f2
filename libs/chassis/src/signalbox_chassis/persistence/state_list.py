"""States as SQL, made of the sets in `signalbox_contracts.states`."""

from collections.abc import Collection
from enum import StrEnum


def state_list(states: Collection[StrEnum]) -> str:
    """`('QUEUED', 'CLAIMED')`, in the order in which their class names them."""
    kind = type(next(iter(states)))
    return f"({', '.join(repr(state.value) for state in kind if state in states)})"
