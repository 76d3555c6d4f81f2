"""A trace as lines: when each span ran, indented below its parent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from signalbox_client.output import colourful, plain

WIDTH: Final = 40
LOOP: Final = " (its parents form a loop)"
"""Marks the span that is drawn as the root of spans that are each other's parents."""


def drawn(spans: Sequence[dict[str, Any]]) -> list[str]:
    """One line a span. A span whose parent is not here begins a tree of its own, and so does a loop of parents."""
    if not spans:
        return ["no spans"]
    first = min((int(span["start_ns"]) for span in spans if span["start_ns"] is not None), default=0)
    times = {id(span): _times(span, first) for span in spans}
    total = max(1, max(end for _, end in times.values()) - first)
    in_order = sorted(spans, key=lambda span: times[id(span)])
    return [
        _line(span, depth, times[id(span)][0] - first, times[id(span)][1] - first, total, note)
        for span, depth, note in _trees(in_order)
    ]


def _times(span: dict[str, Any], first: int) -> tuple[int, int]:
    """Start and end; what a span lacks of them is as short as can be."""
    start = first if span["start_ns"] is None else int(span["start_ns"])
    return start, start if span["end_ns"] is None else max(start, int(span["end_ns"]))


def _trees(spans: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int, str]]:
    """Each span once, below its parent, with its depth and a note."""
    by_id = {span["span_id"]: span for span in reversed(spans) if span["span_id"]}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for span in spans:
        below.setdefault(span["parent_id"] if span["parent_id"] in by_id else None, []).append(span)
    seen: set[int] = set()
    for start in [*below.get(None, []), *spans]:  # what no root leads to hangs below a loop
        if id(start) in seen:
            continue
        in_loop = start["parent_id"] in by_id
        todo = [(_on_loop(start, by_id) if in_loop else start, 0, LOOP if in_loop else "")]
        while todo:
            span, depth, note = todo.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            yield span, depth, note
            children = below.get(span["span_id"], []) if span["span_id"] else []
            todo += [(child, depth + 1, "") for child in reversed(children)]


def _on_loop(span: dict[str, Any], by_id: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The first span of the loop that the parents of a span lead into."""
    passed: set[str] = set()
    while span["span_id"] not in passed:
        passed.add(span["span_id"])
        span = by_id[span["parent_id"]]
    return span


def _line(span: dict[str, Any], depth: int, begin: int, end: int, total: int, note: str) -> str:
    start = min(WIDTH - 1, begin * WIDTH // total)
    length = max(1, min(WIDTH - start, (end - begin) * WIDTH // total))
    bar = (" " * start + "█" * length).ljust(WIDTH)
    failed = "error" in str(span.get("status", "")).lower()
    name = plain(f"{'  ' * depth}{span['service']}: {span['name']}").replace("\n", " ")
    line = f"{bar} {begin / 1e6:>9.1f} ms {(end - begin) / 1e6:>9.1f} ms {'✗' if failed else ' '} {name}{note}"
    return f"\x1b[31m{line}\x1b[0m" if failed and colourful() else line
