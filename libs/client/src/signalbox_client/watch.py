"""Waiting for plans, tasks and operations, with progress on stderr."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Final, cast

from signalbox_client.api import Api, place
from signalbox_client.exit_codes import EndedBadly, TookTooLong
from signalbox_client.output import attempt_of, cut, echo, plain, state, took
from signalbox_client.reconnect import Reconnect, patient

GOOD: Final = frozenset({"SUCCEEDED"})
MAX_ERRORS: Final = 3
ANSWER_SECONDS: Final = 60.0
"""How long an operation may take where no `--timeout` is given."""
_LOOK_SECONDS: Final = 10
_BAR: Final = 24


def plan(api: Api, id: str, *, timeout: float | None = None) -> dict[str, Any]:
    """Follow a plan to its end and return it. Raises `TookTooLong`."""
    from signalbox_contracts.states import PLAN_ENDS  # slow to import, and only needed here

    return _follow(api, place("plans", id), frozenset(PLAN_ENDS), plan_line, timeout)


def task(api: Api, id: str, *, timeout: float | None = None) -> dict[str, Any]:
    """Follow a task to its end and return it."""
    from signalbox_contracts.states import TASK_ENDS

    return _follow(api, place("tasks", id), frozenset(TASK_ENDS), task_line, timeout)


def plan_ended_well(api: Api, found: dict[str, Any]) -> None:
    """Raises `EndedBadly` unless the plan succeeded, after the errors of its first failed tasks."""
    failed = found["counts"]["failed"]
    if failed:
        for one in patient(api, Reconnect()).pages(
            place("plans", found["id"], "tasks"), {"state": "FAILED"}, limit=MAX_ERRORS
        ):
            echo(f"{plain(one['item_key'])}: {plain(one.get('error') or 'no reason')}")
        if failed > MAX_ERRORS:
            echo(f"{failed - MAX_ERRORS} more: signalbox task list --plan {found['id']} --state FAILED")
    ended_well(found, "plan")


def ended_well(found: dict[str, Any], what: str) -> None:
    """Raises `EndedBadly` unless it succeeded."""
    if found["state"] not in GOOD:
        why = found.get("error") or found.get("reason") or ""
        raise EndedBadly(f"{what} {found['id']} ended: {found['state']}{f': {plain(why)}' if why else ''}")


def operation(api: Api, id: str, *, timeout: float | None = ANSWER_SECONDS) -> dict[str, Any]:
    """Wait for the answer to an operation. Raises `EndedBadly` when it was refused or failed."""
    give_up_at = None if timeout is None else time.monotonic() + timeout
    api = patient(api, Reconnect(give_up_at))
    while True:
        left = _LOOK_SECONDS if give_up_at is None else max(0, min(_LOOK_SECONDS, int(give_up_at - time.monotonic())))
        found = api.get(place("operations", id), {"wait": f"{left}s", "until": "end"})
        if found["state"] != "pending":
            break
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise TookTooLong(f"operation {id} is not answered yet: signalbox operation show {id}")
    if found["state"] != "done":
        raise EndedBadly(f"{found['operation']} was {found['state']}: {plain(found.get('answer') or '')}")
    return found


def bulk_operation(api: Api, id: str, *, timeout: float | None = None) -> dict[str, Any]:
    """Follow a bulk operation until every item is answered. Raises `TookTooLong`."""
    give_up_at = None if timeout is None else time.monotonic() + timeout
    shown = Progress()
    api = patient(api, Reconnect(give_up_at, shown.notice))
    path = place("bulk-operations", id)
    found = api.get(path)
    while True:
        shown.line(", ".join(f"{number} {state}" for state, number in found["counts"].items()) or "nothing matched")
        if not found["counts"].get("pending"):
            shown.end()
            return found
        if give_up_at is not None and time.monotonic() >= give_up_at:
            shown.end()
            raise TookTooLong(f"{found['counts']['pending']} are not answered yet: signalbox bulk show {id}")
        found = api.get(path, {"wait": "2s", "until": "end"})


def bulk_ended_well(found: dict[str, Any]) -> None:
    """Raises `EndedBadly` unless every item was done."""
    bad = sum(number for state, number in found["counts"].items() if state != "done")
    if bad:
        raise EndedBadly(f"{bad} of {found['total']} were not done: signalbox bulk items {found['id']} --state refused")


def until(api: Api, path: str, good: Callable[[dict[str, Any]], bool], timeout: float | None = None) -> dict[str, Any]:
    """Read what has a version until it is good. Raises `TookTooLong`."""
    give_up_at = None if timeout is None else time.monotonic() + timeout
    api = patient(api, Reconnect(give_up_at))
    found = api.get(path)
    while not good(found):
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise TookTooLong(f"it is still {found['state']} and continues")
        found = api.get(path, {"wait": "2s", "min_version": int(found["version"]) + 1})
    return found


def _follow(
    api: Api, path: str, ends: frozenset[str], line: Callable[[dict[str, Any]], str], timeout: float | None
) -> dict[str, Any]:
    give_up_at = None if timeout is None else time.monotonic() + timeout
    shown = Progress()
    api = patient(api, Reconnect(give_up_at, shown.notice))
    found = api.get(path)
    while True:
        shown.why(_sentence(found))
        shown.line(line(found))
        if found["state"] in ends and found.get("ended_at"):
            shown.end()
            return found
        if give_up_at is not None and time.monotonic() >= give_up_at:
            shown.end()
            raise TookTooLong(f"it is still {found['state']} and continues")
        seconds = (
            _LOOK_SECONDS if give_up_at is None else max(1, min(_LOOK_SECONDS, int(give_up_at - time.monotonic())))
        )
        found = api.get(path, {"wait": f"{seconds}s", "min_version": int(found["version"]) + 1})


class Progress:
    """One line that is redrawn on a terminal, and a line for each change elsewhere."""

    def __init__(self) -> None:
        self._last = self._why = ""
        self._live = sys.stderr.isatty()

    def why(self, sentence: str) -> None:
        """A line of its own above: the redrawn one would cut off what helps."""
        if sentence and sentence != self._why:
            print(f"\r\x1b[2K{sentence}" if self._live else sentence, file=sys.stderr)
        self._why = sentence

    def line(self, text: str) -> None:
        if text == self._last:
            return
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{cut(text, width)}", end="", file=sys.stderr, flush=True)
        else:
            echo(text)
        self._last = text

    def notice(self, text: str) -> None:
        """A line of its own that is no state; the redrawn one comes again below it."""
        if self._live and self._last:
            print("\r\x1b[2K", end="", file=sys.stderr)
        echo(text)
        self._last = ""

    def end(self) -> None:
        if self._live and self._last:
            print(file=sys.stderr)


def plan_line(found: dict[str, Any]) -> str:
    """State, and how far."""
    counts = found["counts"]
    ended = counts["succeeded"] + counts["failed"] + counts["skipped"] + counts["cancelled"]
    parts = [state(found["state"]), _bar(ended, counts["total"]), f"{ended}/{counts['total']}"]
    parts += [f"{counts[name]} {name}" for name in ("active", "failed", "unknown", "cancelled") if counts[name]]
    parts.append(took(found["created_at"], found["ended_at"]))
    return "  ".join(part for part in parts if part)


def task_line(found: dict[str, Any]) -> str:
    return "  ".join([state(found["state"]), f"attempt {attempt_of(found)}"])


def _sentence(found: dict[str, Any]) -> str:
    """Why it waits: of a plan the first reason, which most of its tasks have."""
    waiting: Any = found.get("waiting")
    several = cast("list[Any]", waiting) if isinstance(waiting, list) else [waiting]
    first = several[0] if several else None
    if not first or found["ended_at"]:
        return ""
    return plain(first.get("sentence") or first.get("detail") or first.get("why") or "")


def _bar(done: int, total: int) -> str:
    if not total:
        return ""
    filled = round(_BAR * done / total)
    return "█" * filled + "░" * (_BAR - filled)
