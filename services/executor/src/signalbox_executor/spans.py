"""How many spans of tasks one trace gets: a trace of a hundred thousand submits helps nobody."""

from dataclasses import dataclass, field
from typing import Final

MAX_SPANS: Final = 200
"""Spans of tasks a process adds to one trace; the first ones of a bulk plan are as good as any."""
_MAX_TRACES: Final = 10_000


@dataclass
class SpanBudget:
    """Counts the spans of each trace. What it counted is forgotten now and then: the bound is rough."""

    _given: dict[str, int] = field(default_factory=dict[str, int])

    def allows(self, traceparent: str | None) -> bool:
        """Whether one more span of a task may join this trace."""
        trace_id = (traceparent or "")[3:35]
        given = self._given.get(trace_id, 0)
        if given >= MAX_SPANS:
            return False
        if len(self._given) >= _MAX_TRACES:
            self._given.clear()
        self._given[trace_id] = given + 1
        return True
