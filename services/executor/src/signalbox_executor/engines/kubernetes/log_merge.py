"""Merging what the containers of a Job write into one text in the order of time. Pure.

The order depends on the lines alone, so whoever reads a log from its beginning again gets the same bytes at the same
offsets. A line is held back until no other container can still have an earlier one.
"""

import heapq
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

Time = int
"""Nanoseconds since 1970, by the clock of the node."""
FOREVER: Final[Time] = 2**63
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """`text` ends with its line feed, but for the last of a container that wrote none."""

    at: Time
    text: bytes = field(compare=False)


@dataclass(slots=True)
class Source:
    """One container of one pod: how far it was read, and the lines that wait to be merged."""

    pod: str
    container: str
    order: tuple[int, str, str]
    """Breaks ties between lines of the same instant: completion index, pod, container."""
    badge: bytes = b""
    last: Time = 0
    """The time of the last line taken, and how many of that very time were."""
    taken_at_last: int = 0
    waiting: deque[Line] = field(default_factory=deque[Line])
    complete_until: Time = 0
    """No line before this can still come."""
    ended: bool = False
    """The container ended, and all it wrote was read."""

    def take(self, body: bytes, *, cut: bool, until: Time, ended: bool) -> int:
        """Add the lines of an answer that were not there before; how many.

        `cut`: the answer was as long as it may be, so its last line may be a part of one. `until`: the time of the
        answer, by the server's clock.
        """
        taken = 0
        at_last = 0
        for line in parse_lines(body, drop_rest=cut or not ended):
            if line.at < self.last:
                continue
            if line.at == self.last:
                at_last += 1
                if at_last <= self.taken_at_last:
                    continue
                self.taken_at_last = at_last
            else:
                self.last, self.taken_at_last = line.at, 1
                at_last = 1
            self.waiting.append(line)
            taken += 1
        self.complete_until = self.last if cut else max(until, self.last)
        self.ended = ended and not cut
        return taken


def merge(sources: Iterable[Source], until: Time = FOREVER) -> bytes:
    """Take out of the sources all lines that nothing can come before any more.

    `until`: a container that is not known yet may still have lines after this.
    """
    every = list(sources)
    until = min([until, *(source.complete_until for source in every if not source.ended)])
    heap = [(source.waiting[0].at, source.order, at) for at, source in enumerate(every) if source.waiting]
    heapq.heapify(heap)
    merged = bytearray()
    while heap and heap[0][0] <= until:
        _, order, at = heapq.heappop(heap)
        source = every[at]
        line = source.waiting.popleft()
        merged += source.badge + line.text
        if source.badge and not line.text.endswith(b"\n"):
            merged += b"\n"
        if source.waiting:
            heapq.heappush(heap, (source.waiting[0].at, order, at))
    return bytes(merged)


def parse_lines(body: bytes, *, drop_rest: bool) -> Iterable[Line]:
    """The lines of an answer with timestamps. What follows the last line feed may be a part of a line."""
    at: Time = 0
    position = 0
    while position < len(body):
        end = body.find(b"\n", position)
        if end < 0 and drop_rest:
            return
        end = len(body) if end < 0 else end + 1
        found = _STAMP.match(body, position, end)
        if found is not None:
            at = _nanoseconds(found)
            yield Line(at, body[found.end() : end])
        else:  # the continuation of a line that was written in parts
            yield Line(at, body[position:end])
        position = end


def _nanoseconds(found: "re.Match[bytes]") -> Time:
    instant = datetime.fromisoformat(f"{found[1].decode()}{found[3].decode().replace('Z', '+00:00')}")
    return int(instant.timestamp()) * 1_000_000_000 + int((found[2] or b"0").ljust(9, b"0"))


def since(at: Time) -> str:
    """The full second of an instant, for `sinceTime`."""
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
