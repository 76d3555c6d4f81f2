"""Text drawings of a plan: the graph of its steps, and when each ran. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

SIGNS: Final = {
    "SUCCEEDED": "✓", "FAILED": "✗", "CANCELLED": "■", "SKIPPED": "○", "REUSED": "↺", "RUNNING": "▶", "READY": "▷",
    "WAITING": "·",
}  # fmt: skip
BAR: Final = 40


def graph_lines(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line a step, below what it waits for: steps of one depth have one indent."""
    depths = _depths(steps)
    normal = [step for step in steps if not step.get("compensates")]
    for step in sorted(normal, key=lambda one: depths[one["id"]]):
        yield _line(step, "  " * depths[step["id"]])
    for step in steps:
        if step.get("compensates"):
            yield _line(step, "")


def _depths(steps: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """By step: how many steps one after the other come before it."""
    before = {step["id"]: [edge.partition(":")[0] for edge in step.get("depends_on") or ()] for step in steps}
    depths = dict.fromkeys(before, 0)
    for _ in depths:  # as often as the longest chain has steps
        known = dict(depths)
        for id, ids in before.items():
            depths[id] = 1 + max((known[one] for one in ids if one in known), default=-1)
        if depths == known:
            break
    return depths


def timeline_lines(plan: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """One bar a step, on the time of the plan: when it began after the plan, and how long it took, in seconds."""
    steps: Sequence[Mapping[str, Any]] = plan.get("steps") or ()
    ran = [step for step in steps if step.get("started_at") and step.get("state") not in ("REUSED", "SKIPPED")]
    if not ran:
        yield "no step has started"
        return
    spans = [_span(step, now) for step in ran]
    first, last = _span(plan, now) if plan.get("started_at") else (min(spans)[0], max(end for _, end in spans))
    total = max((last - first).total_seconds(), 0.001)
    width = max(len(step["id"]) for step in ran)
    yield f"  {'began'.ljust(width)}  {first.isoformat(timespec='milliseconds').ljust(BAR)}     after      took"
    for step, (start, end) in zip(ran, spans, strict=True):
        after, seconds = (start - first).total_seconds(), (end - start).total_seconds()
        offset = min(max(int(after / total * BAR), 0), BAR - 1)
        length = min(max(1, round(seconds / total * BAR)), BAR - offset)
        bar = (" " * offset + "█" * length).ljust(BAR)
        sign = SIGNS.get(step["state"], "?")
        yield f"{sign} {step['id'].ljust(width)} |{bar}| {after:8.3f} {seconds:9.3f} s"
    yield f"  {'total'.ljust(width)}  {' ' * BAR}           {total:9.3f} s"


def _span(timed: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Start and end; what has not ended ends now, and never before its start: the clocks here and there differ."""
    start = datetime.fromisoformat(timed["started_at"])
    return start, max(start, datetime.fromisoformat(timed["ended_at"]) if timed.get("ended_at") else now)


def _line(step: Mapping[str, Any], indent: str) -> str:
    sign = SIGNS.get(step.get("state") or "", "•")
    counts: Mapping[str, Any] = step.get("counts") or {}
    many = f" ({counts['total']} tasks)" if counts.get("total", 1) > 1 else ""
    waits = f"  ← {', '.join(step['depends_on'])}" if step.get("depends_on") else ""
    undoes = f"  undoes {step['compensates']}" if step.get("compensates") else ""
    state = f"  {step['state']}" if step.get("state") else ""
    reason = f"  {' '.join(step['reason'].split())}" if step.get("reason") else ""
    return f"{indent}{sign} {step['id']}{many}{waits}{undoes}{state}{reason}"
