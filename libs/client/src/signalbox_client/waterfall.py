"""A trace as lines: when each span ran, indented below its parent."""

from collections.abc import Sequence
from typing import Any, Final

from signalbox_client.output import colourful, plain

WIDTH: Final = 40


def drawn(spans: Sequence[dict[str, Any]]) -> list[str]:
    """One line a span. A span whose parent is not here begins a tree of its own."""
    in_order = sorted(spans, key=lambda span: int(span["start_ns"]))
    if not in_order:
        return ["no spans"]
    known = {span["span_id"] for span in in_order}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for span in in_order:
        parent = span.get("parent_id")
        below.setdefault(parent if parent in known else None, []).append(span)
    first = int(in_order[0]["start_ns"])
    total = max(1, max(int(span["end_ns"]) for span in in_order) - first)
    lines: list[str] = []
    todo = [(span, 0) for span in reversed(below.get(None, []))]
    while todo:
        span, depth = todo.pop()
        begin, end = int(span["start_ns"]) - first, int(span["end_ns"]) - first
        lines.append(_line(span, depth, begin, end, total))
        todo += [(child, depth + 1) for child in reversed(below.get(span["span_id"], []))]
    return lines


def _line(span: dict[str, Any], depth: int, begin: int, end: int, total: int) -> str:
    start = min(WIDTH - 1, begin * WIDTH // total)
    length = max(1, min(WIDTH - start, (end - begin) * WIDTH // total))
    bar = (" " * start + "█" * length).ljust(WIDTH)
    failed = "error" in str(span.get("status", "")).lower()
    name = plain(f"{'  ' * depth}{span['service']}: {span['name']}").replace("\n", " ")
    line = f"{bar} {begin / 1e6:>9.1f} ms {(end - begin) / 1e6:>9.1f} ms {'✗' if failed else ' '} {name}"
    return f"\x1b[31m{line}\x1b[0m" if failed and colourful() else line
