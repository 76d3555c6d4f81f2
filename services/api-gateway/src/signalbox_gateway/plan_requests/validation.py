"""Checks of a request that starts a plan: its items, their engines, its parameters."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from pydantic import JsonValue, TypeAdapter, ValidationError

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.job import Job, work_problems
from signalbox_contracts.definitions.params import InvalidParams, bind
from signalbox_contracts.definitions.problems import Problem as FieldProblem
from signalbox_contracts.definitions.problems import problems_in
from signalbox_contracts.definitions.template import InvalidTemplate, render_all
from signalbox_contracts.messages.requests import RequestedItem
from signalbox_contracts.pages import ENVELOPE_BYTES
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_contracts.wire import MAX_MESSAGE_BYTES
from signalbox_gateway.definitions import store
from signalbox_gateway.http.problems import MAX_ERRORS, invalid, invalid_all

MAX_ITEM_BYTES: Final = MAX_MESSAGE_BYTES - ENVELOPE_BYTES
"""An item travels in one message."""
BATCH_ITEMS: Final = 1000
BATCH_BYTES: Final = 262_144
"""Items checked before other requests get their turn."""
MAX_PLAN_VALUES: Final = 4_000_000
"""Lists, objects and scalars in all items of a plan, 40 in each of 100,000: one takes 84 to 163 bytes, and all are kept
until the plan is stored. 60 MiB of `[]` took 1.7 GB."""
_TEXTS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_USUAL_VALUES: Final = 50
"""In an item. Where no more can be, commas in texts need not be told from others."""
SOME_RUN: Final = {"id": str(UUID(int=0)), "name": "", "actor": "user:somebody"}
"""What templates are tried with; the planner has the values of the plan."""
_ITEMS: Final = TypeAdapter(list[RequestedItem])


def check_params(job: Job, params: dict[str, JsonValue]) -> None:
    """Refuse values that do not fit the job's declared parameters, or that its work cannot be rendered with."""
    try:
        bound = bind(job.params, params)
    except InvalidParams as error:
        lines = str(error).splitlines()
        problems = [FieldProblem(f"params.{line.partition(' ')[0].rstrip(':')}", None, line) for line in lines]
        raise invalid_all(problems) from None
    run = SOME_RUN | {"name": job.name}
    values = {"params": bound, "steps": {}, "event_date": "2000-01-01", "run": run}
    try:
        rendered = render_all(job.work.model_dump(mode="json"), values)
        type(job.work).model_validate(rendered)
    except ValidationError as error:
        raise invalid_all(list(problems_in(error))) from None
    except InvalidTemplate as error:
        raise invalid("params", None, f"the work of job {job.id} {error}") from None


@dataclass(eq=False)
class CheckedItems:
    """The items of a plan, as the texts of its pages: as values, those of 32 MB took 450 MB."""

    pages: list[list[bytes]] = field(default_factory=list[list[bytes]])
    keys: dict[str, int] = field(default_factory=dict[str, int])
    """The number of each item, by its key."""
    engines: dict[tuple[str, str], list[int]] = field(default_factory=dict[tuple[str, str], list[int]])
    """The numbers of some items, by engine and kind of work."""

    def read_pages(self) -> Iterator[tuple[RequestedItem, ...]]:
        """The items of one page after the other, once: what was read is given up."""
        for number, texts in enumerate(self.pages):
            self.pages[number] = []
            yield tuple(_parsed(texts))


async def read_items(texts: list[bytes]) -> CheckedItems:
    """Check the items and take them out of `texts`. Names every wrong one, up to a hundred.

    Other requests get their turn meanwhile.
    """
    checked = CheckedItems()
    problems: list[FieldProblem] = []
    values = count = size = 0
    for batch in _batches(texts):
        values += _count_values(batch)
        if values > MAX_PLAN_VALUES:
            raise invalid("items", None, f"at most {MAX_PLAN_VALUES} values are allowed in all items together")
        try:
            items = _parsed(batch)
        except ValidationError as error:
            raise invalid_all([_placed(problem, count) for problem in problems_in(error)]) from None
        if len(problems) < MAX_ERRORS:
            problems += _misfits(items, batch, count, checked)
        size = _add_pages(checked, items, batch, count, size)
        count += len(batch)
        await asyncio.sleep(0)
    if problems:
        raise invalid_all(problems[:MAX_ERRORS])
    texts.clear()
    return checked


def _parsed(texts: Sequence[bytes]) -> list[RequestedItem]:
    return _ITEMS.validate_json(b"[" + b",".join(texts) + b"]", strict=True, extra="forbid")


def _add_pages(checked: CheckedItems, items: list[RequestedItem], texts: list[bytes], start: int, size: int) -> int:
    """Add items, the first of which is `start`, to the last page, of so many bytes, and new ones; bytes of the last."""
    for number, (item, text) in enumerate(zip(items, texts, strict=True), start):
        needed = len(item.model_dump_json(exclude_none=True).encode()) + 1
        if needed > MAX_ITEM_BYTES:
            raise invalid(f"items.{number}", None, f"has {needed} bytes as JSON: too large for a message")
        if not checked.pages or len(checked.pages[-1]) == MAX_ITEMS or size + needed > MAX_ITEM_BYTES:
            checked.pages.append([])
            size = 0
        checked.pages[-1].append(text)
        size += needed
    return size


def _count_values(texts: Sequence[bytes]) -> int:
    """How many lists, objects and scalars there are at most; exactly, where that could be many."""
    joined = b",".join(texts)
    if _separators(joined) > len(texts) * _USUAL_VALUES:
        joined = _TEXTS.sub(b"", joined)
    return _separators(joined)


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _batches(texts: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == BATCH_ITEMS or size + len(text) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _misfits(
    items: Sequence[RequestedItem], texts: Sequence[bytes], start: int, checked: CheckedItems
) -> Iterator[FieldProblem]:
    """What is wrong with some items, the first of which is `start`; their keys and engines become known."""
    for number, (item, text) in enumerate(zip(items, texts, strict=True), start):
        first = checked.keys.setdefault(item.key, number)
        if first != number:
            yield FieldProblem(f"items.{number}.key", repr(item.key)[:100], f"is used by items.{first} already")
        if item.depends_on:
            words = "items of a list are independent: use a pipeline for an order"
            yield FieldProblem(f"items.{number}.depends_on", None, words)
        same = checked.engines.setdefault((item.engine or "", item.work.kind), [])
        if len(same) < MAX_ERRORS:
            same.append(number)
        if item.engine is None:
            yield FieldProblem(f"items.{number}.engine", None, "an engine is needed")
        if b"{{" in text or b"secret:" in text:
            for place, allowed in work_problems(item.work, frozenset(), frozenset()):
                yield FieldProblem(f"items.{number}.{place}", None, allowed)


def _placed(one: FieldProblem, at: int) -> FieldProblem:
    number, _, rest = one.field.partition(".")
    place = f"items.{int(number) + at}" if number.isdigit() else f"items.{number}"
    return FieldProblem(f"{place}.{rest}" if rest else place, one.value, one.allowed)


async def check_engines(connection: Connection, items: CheckedItems) -> int:
    """The newest revision among the engines of these items; refuses unknown ones and those of another kind."""
    known = await store.load_all(connection, "engine", sorted({name for name, _ in items.engines}))
    wrong: list[FieldProblem] = []
    for number, name, kind in sorted((n, name, kind) for (name, kind), some in items.engines.items() for n in some):
        engine = known.get(name)
        if engine is None:
            words = f"is not an engine: {await _engine_words(connection)}" if not wrong else "is not an engine"
            wrong.append(FieldProblem(f"items.{number}.engine", repr(name), words))
        elif (runs := _kind(engine.definition)) != kind:
            wrong.append(
                FieldProblem(f"items.{number}.work.kind", repr(kind), f"engine {name} runs {runs}, not {kind}")
            )
        if len(wrong) >= MAX_ERRORS:
            break
    if wrong:
        raise invalid_all(wrong)
    return max(saved.revision for saved in known.values())


def _kind(definition: Any) -> str:
    return definition.connection.kind if isinstance(definition, Engine) else ""


async def _engine_words(connection: Connection) -> str:
    known = [one.definition.id for one in await store.list_definitions(connection, "engine", limit=20)]
    return f"allowed are {', '.join(known)}" if known else "none is registered yet"
