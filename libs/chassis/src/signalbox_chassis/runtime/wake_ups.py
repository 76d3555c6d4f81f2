"""Wakes loops by name, so that whoever makes work for a loop need not have it at hand.

Handlers, loops and the parts of a service are made one after the other, and some need each other. A wake-up is looked
up when it is called: before its loop was added it does nothing.
"""

from collections.abc import Callable

from signalbox_chassis.runtime.loops import Loop


class WakeUps:
    """The wake-ups of one service."""

    def __init__(self) -> None:
        self._loops: dict[str, Loop] = {}

    def add(self, loop: Loop) -> Loop:
        """Make a loop known by its name; returns it. Raises ValueError for a name that is taken."""
        if loop.name in self._loops:
            raise ValueError(f"there are two loops named {loop.name!r}")
        self._loops[loop.name] = loop
        return loop

    def of(self, name: str) -> Callable[[], None]:
        """A function that wakes the loop of this name."""
        return lambda: self.wake(name)

    def wake(self, name: str) -> None:
        """Run the next pass of a loop now."""
        if name in self._loops:
            self._loops[name].wake()

    def check(self, *names: str) -> None:
        """Raise ValueError unless there is a loop of each name: a misspelt name would wake nobody."""
        missing = set(names) - self._loops.keys()
        if missing:
            raise ValueError(f"no loop is named {', '.join(sorted(missing))}")
