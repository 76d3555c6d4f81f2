"""W3C trace context, level 1: reading and writing `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header)."""

import re
from dataclasses import dataclass
from typing import Final, Self

_SHAPE: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


_PARTS: Final = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_VALID: Final = re.compile(rf"00{_PARTS}|(?!00|ff)[0-9a-f]{{2}}{_PARTS}(?:-.*)?", re.ASCII)


class InvalidTraceParent(ValueError):
    """The text is not a W3C `traceparent`; a reader then starts a trace of its own."""


@dataclass(frozen=True, slots=True)
class TraceParent:
    """One place in a trace: the trace, the span that caused this, and its flags."""

    trace_id: str
    span_id: str
    flags: int = 1

    def __post_init__(self) -> None:
        _refuse_unless(re.fullmatch(r"[0-9a-f]{32}", self.trace_id) and self.trace_id != "0" * 32, "trace_id")
        _refuse_unless(re.fullmatch(r"[0-9a-f]{16}", self.span_id) and self.span_id != "0" * 16, "span_id")
        _refuse_unless(0 <= self.flags <= 255, "flags")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `traceparent`; raises `InvalidTraceParent`.

        A version above 00 may carry more parts, which are ignored, as section 3.2.4 of the recommendation asks.
        """
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise InvalidTraceParent("traceparent is not <version>-<32 hex>-<16 hex>-<2 hex>, lower case")
        version, trace_id, span_id, flags, more = shape.groups()
        _refuse_unless(version != "ff" and (more is None or version != "00"), "version")
        return cls(trace_id, span_id, int(flags, 16))

    def format(self) -> str:
        """The header's text, always as version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def is_traceparent(text: str) -> bool:
    """Whether `TraceParent.parse` would accept the text, without taking it apart."""
    return _VALID.fullmatch(text) is not None


def _refuse_unless(condition: object, part: str) -> None:
    if not condition:
        raise InvalidTraceParent(f"traceparent has an invalid {part}")
