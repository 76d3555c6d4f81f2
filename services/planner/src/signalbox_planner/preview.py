"""A preview: the decided items in order, a hash over them, and the difference between two of them. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue

from signalbox_contracts.messages.plans import Decision
from signalbox_planner.rerun_decisions import DecidedItem

MAX_DIFFERENCES: Final = 50
"""How many items of each kind a difference names; the counts are complete."""


def in_order(items: Iterable[DecidedItem]) -> list[DecidedItem]:
    """The items as they are numbered: oldest first. A plan that runs newest first sends them from the end."""
    return sorted(items, key=lambda item: (item.sort_key, item.key))


def preview_hash(items: Sequence[DecidedItem]) -> str:
    """SHA-256 over every item with its decision, what it expects, does and deletes."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(_canonical(item), sort_keys=True, separators=(",", ":")).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def counts(items: Sequence[DecidedItem]) -> dict[Decision, int]:
    """How many items have each decision."""
    found: dict[Decision, int] = {Decision.RUN: 0, Decision.SKIP: 0, Decision.BLOCKED: 0}
    for item in items:
        found[item.decision] += 1
    return found


def difference(before: Sequence[DecidedItem], after: Sequence[DecidedItem]) -> dict[str, JsonValue] | None:
    """What is not as previewed: items that changed, came or went. None if nothing is."""
    old, new = ({item.key: item for item in items} for items in (before, after))
    changed = [key for key in old if key in new and _canonical(old[key]) != _canonical(new[key])]
    added = [key for key in new if key not in old]
    removed = [key for key in old if key not in new]
    if not (changed or added or removed):
        return None
    return {
        "counts": {"changed": len(changed), "added": len(added), "removed": len(removed)},
        "changed": [_change(old[key], new[key]) for key in changed[:MAX_DIFFERENCES]],
        "added": [_shown(new[key]) for key in added[:MAX_DIFFERENCES]],
        "removed": [_shown(old[key]) for key in removed[:MAX_DIFFERENCES]],
    }


def describe(found: Mapping[str, Any]) -> str:
    """A difference as a sentence: how many, and the first keys."""
    numbers = ", ".join(f"{count} {kind}" for kind, count in found["counts"].items() if count)
    keys = [str(item["key"]) for kind in ("changed", "added", "removed") for item in found[kind]]
    rest = " and others" if len(keys) > 10 else ""
    return f"the world is not as previewed: {numbers}: {', '.join(keys[:10])}{rest}"


def _change(before: DecidedItem, after: DecidedItem) -> dict[str, JsonValue]:
    return {"key": before.key, "was": _shown(before), "is": _shown(after)}


def _shown(item: DecidedItem) -> dict[str, JsonValue]:
    shown: dict[str, JsonValue] = {
        "key": item.key,
        "decision": item.decision.value,
        "reason": item.reason[:300],
        "expected": item.expected,
    }
    if item.deletes:
        shown["deletes"] = list(item.deletes)
    return shown


def _canonical(item: DecidedItem) -> dict[str, JsonValue]:
    return {
        "key": item.key,
        "engine": item.engine,
        "decision": item.decision.value,
        "reason": item.reason,
        "expected": item.expected,
        "deletes": list(item.deletes),
        "work": item.work.model_dump(mode="json") if item.work else None,
    }
