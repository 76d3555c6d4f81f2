"""A trace as lines of text. `signalbox trace ID` draws more; this needs nothing but the API's answer. Pure."""

from collections.abc import Sequence
from typing import Any

WIDTH = 48


def waterfall(spans: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each span in the order they began: service, what, how long, and where in the whole it lies."""
    if not spans:
        return ["no span has arrived yet"]
    ordered = sorted(spans, key=lambda span: int(span["start_ns"]))
    first = int(ordered[0]["start_ns"])
    complete = max(int(span["end_ns"]) for span in ordered) - first or 1
    depths = _depths(ordered)
    lines: list[str] = []
    for span in ordered:
        begin, end = int(span["start_ns"]) - first, int(span["end_ns"]) - first
        at = min(WIDTH - 1, begin * WIDTH // complete)
        length = max(1, min(WIDTH - at, (end - begin) * WIDTH // complete))
        name = f"{'  ' * depths[span['span_id']]}{span['name']}"
        lines.append(
            f"{span['service']:<12}{name[:44]:<45}{begin / 1e6:>9.1f} ms {'·' * at}{'█' * length}"
            f"{'·' * (WIDTH - at - length)} {(end - begin) / 1e6:.1f} ms"
        )
    return lines


def _depths(spans: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How deep each span lies; a parent that is not here counts as none."""
    parents = {span["span_id"]: span["parent_id"] for span in spans}
    depths: dict[str, int] = {}
    for span in parents:
        depth, at = 0, parents[span]
        while at in parents and depth < 20:
            depth, at = depth + 1, parents[at]
        depths[span] = depth
    return depths
