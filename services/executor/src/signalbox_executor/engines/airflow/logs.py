"""The log of a run: what every try of every task wrote, one after the other, as one text that only grows.

Tries follow in the order of their starts, and the first that has not ended is shown as far as it is written. So a
reader that knows an offset gets the same bytes from every executor, and a long task hides those that began after it
until it has ended.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import from_json

from signalbox_executor.engines.airflow.answers import TASK_ENDED_STATES, TaskInstance, TaskInstances, each
from signalbox_executor.engines.airflow.client import AirflowClient, segment
from signalbox_executor.engines.airflow.runs import run_path
from signalbox_executor.engines.airflow.tracking import RunName
from signalbox_executor.engines.port import LogPage

MAX_TRY_BYTES: Final = 16 * 1024 * 1024
"""So much of one try's log is read."""
MAX_TASKS: Final = 1000
"""Of a run with more task instances the logs of these are shown."""
MAX_LOGS: Final = 50
"""So many runs are remembered."""
KEPT_BYTES: Final = 1024 * 1024
"""A longer text is not kept between two pages."""
PAGE: Final = 100
SETTLE_SECONDS: Final = 2.0
"""How long after its end a try may still write."""
_NO_LOG: Final = frozenset({"skipped", "upstream_failed", "removed", None})
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

TryName = tuple[str, int, int]
"""Task id, map index, number of the try."""


@dataclass
class _RunLog:
    """What is known of one run's log: the lengths of ended tries, and the text that was read last."""

    lengths: dict[TryName, int] = field(default_factory=dict[TryName, int])
    last: tuple[TryName, bytes] | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class LogReader:
    """Reads logs in pieces."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client
        self._logs: OrderedDict[RunName, _RunLog] = OrderedDict()

    async def read(self, name: RunName, offset: int, limit: int) -> LogPage:
        """At most `limit` bytes from `offset` on; no data if there are none yet."""
        log = self._logs.setdefault(name, _RunLog())
        self._logs.move_to_end(name)
        while len(self._logs) > MAX_LOGS:
            self._logs.popitem(last=False)
        async with log.reading:
            begin = 0
            tries, at = await self._tries(name)
            for one in tries:
                key, ended = (one.task_id, one.map_index, one.try_number), one.state in TASK_ENDED_STATES
                length = log.lengths.get(key)
                if length is None or offset < begin + length:
                    if length is None and ended:
                        await asyncio.sleep(_unsettled_seconds(one, at))
                    text = await self._text(name, one, log)
                    length = len(text) if length is None else length
                    if ended:
                        log.lengths[key] = length
                    if offset < begin + length:
                        return LogPage(offset, text[offset - begin : length][:limit])
                begin += length
                if not ended:
                    break
            return LogPage(offset, b"")

    async def _tries(self, name: RunName) -> tuple[list[TaskInstance], datetime]:
        """Every try that wrote, or may still write, in the order of their starts, and when that was so."""
        path, tasks, at = f"{run_path(*name)}/taskInstances", list[TaskInstance](), _NEVER
        for begin in range(0, MAX_TASKS, PAGE):
            answer = await self._client.call("GET", path, [("limit", str(PAGE)), ("offset", str(begin))])
            if answer.status == 404:
                return [], at
            at = answer.at
            rows = self._client.read(TaskInstances, answer).task_instances
            tasks += each(TaskInstance, rows)
            if len(rows) < PAGE:
                break
        tries: list[TaskInstance] = []
        for task in tasks:
            if task.try_number > 1:
                tries += await self._earlier(path, task)
            tries.append(task)
        written = [one for one in tries if one.try_number and one.start_date and one.state not in _NO_LOG]
        written.sort(key=lambda one: (one.start_date or _NEVER, one.task_id, one.map_index, one.try_number))
        return written, at

    async def _earlier(self, path: str, task: TaskInstance) -> list[TaskInstance]:
        """The tries before the newest one."""
        mapped = f"/{task.map_index}" if task.map_index >= 0 else ""
        answer = await self._client.call("GET", f"{path}/{segment(task.task_id)}{mapped}/tries")
        if answer.status == 404:
            return []
        found = each(TaskInstance, self._client.read(TaskInstances, answer).task_instances)
        return [one for one in found if one.try_number < task.try_number]

    async def _text(self, name: RunName, one: TaskInstance, log: _RunLog) -> bytes:
        key, ended = (one.task_id, one.map_index, one.try_number), one.state in TASK_ENDED_STATES
        if ended and log.last is not None and log.last[0] == key:
            return log.last[1]
        path = f"{run_path(*name)}/taskInstances/{segment(one.task_id)}/logs/{one.try_number}"
        plain = await self._client.major() == 2
        answer = await self._client.call(
            "GET", path, [("full_content", "true"), ("map_index", str(one.map_index))],
            accept="text/plain" if plain else "application/x-ndjson", cut_at=MAX_TRY_BYTES,
        )  # fmt: skip
        if answer.status == 404:
            body = b"(Airflow has no log of it)\n"
        elif plain:
            body = answer.body
        else:
            body = lines_of(answer.body)
        text = f"--- {one.label}, try {one.try_number} ---\n".encode() + body
        log.last = (key, text) if ended and len(text) <= KEPT_BYTES else None
        return text


def _unsettled_seconds(one: TaskInstance, at: datetime) -> float:
    """How long to wait for the last lines of a try: Airflow records its end before all its output is in the log."""
    if one.end_date is None:
        return 0.0
    return min(max(SETTLE_SECONDS - (at - one.end_date).total_seconds(), 0.0), SETTLE_SECONDS)


def lines_of(body: bytes) -> bytes:
    """A structured log (3.x) as lines of text; what cannot be read is shown as it came."""
    lines: list[str] = []
    in_sources = False
    for raw in body.splitlines():
        try:
            event: Any = from_json(raw)
            words = str(event["event"])
        except (ValueError, LookupError, TypeError):
            lines.append(raw.decode(errors="replace"))
            continue
        if event.get("timestamp") is None:  # where Airflow found the log: another text each time
            in_sources = words != "::endgroup::" and (in_sources or words.startswith("::group::"))
            continue
        level = str(event.get("level", "")).upper()
        lines.append(f"{event['timestamp']} {level} {words}" if level else f"{event['timestamp']} {words}")
        lines += _error_lines(event.get("error_detail"))
    return "".join(f"{line}\n" for line in lines).encode()


def _error_lines(details: Any) -> list[str]:
    """An exception with its frames, as Python prints it."""
    lines: list[str] = []
    for detail in details if isinstance(details, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(detail, dict):
            continue
        error: dict[str, Any] = detail  # pyright: ignore[reportUnknownVariableType]
        lines.append("Traceback (most recent call last):")
        frames: list[Any] = error.get("frames") or []
        lines += [
            f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
            for frame in frames
            if isinstance(frame, dict)
        ]
        lines.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
    return lines
