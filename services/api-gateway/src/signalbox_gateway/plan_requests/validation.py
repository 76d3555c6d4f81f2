"""Checks of a request that starts a plan: its items, their engines, its parameters."""

import asyncio
import re
from collections.abc import Iterator, Sequence
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


async def read_items(texts: Sequence[bytes]) -> list[RequestedItem]:
    """The items as values. Names every wrong one, up to a hundred; other requests get their turn meanwhile."""
    items: list[RequestedItem] = []
    values = 0
    for batch in _batches(texts):
        values += _count_values(batch)
        if values > MAX_PLAN_VALUES:
            raise invalid("items", None, f"at most {MAX_PLAN_VALUES} values are allowed in all items together")
        try:
            items += _ITEMS.validate_json(b"[" + b",".join(batch) + b"]", strict=True, extra="forbid")
        except ValidationError as error:
            raise invalid_all([_placed(problem, len(items)) for problem in problems_in(error)]) from None
        await asyncio.sleep(0)
    problems: list[FieldProblem] = []
    keys: dict[str, int] = {}
    for start in range(0, len(items), BATCH_ITEMS):
        problems += _misfits(items[start : start + BATCH_ITEMS], texts, start, keys)
        if len(problems) >= MAX_ERRORS:
            break
        await asyncio.sleep(0)
    if problems:
        raise invalid_all(problems[:MAX_ERRORS])
    return items


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
    items: Sequence[RequestedItem], texts: Sequence[bytes], start: int, keys: dict[str, int]
) -> Iterator[FieldProblem]:
    """What is wrong with some items, the first of which is `start`. `keys` are the numbers of those before, by key."""
    for number, item in enumerate(items, start):
        first = keys.setdefault(item.key, number)
        if first != number:
            yield FieldProblem(f"items.{number}.key", repr(item.key)[:100], f"is used by items.{first} already")
        if item.depends_on:
            words = "items of a list are independent: use a pipeline for an order"
            yield FieldProblem(f"items.{number}.depends_on", None, words)
        if item.engine is None:
            yield FieldProblem(f"items.{number}.engine", None, "an engine is needed")
        if b"{{" in texts[number] or b"secret:" in texts[number]:
            for field, allowed in work_problems(item.work, frozenset(), frozenset()):
                yield FieldProblem(f"items.{number}.{field}", None, allowed)


def _placed(one: FieldProblem, at: int) -> FieldProblem:
    number, _, rest = one.field.partition(".")
    place = f"items.{int(number) + at}" if number.isdigit() else f"items.{number}"
    return FieldProblem(f"{place}.{rest}" if rest else place, one.value, one.allowed)


async def check_engines(connection: Connection, items: Sequence[RequestedItem]) -> int:
    """The newest revision among the engines of these items; refuses unknown ones and those of another kind."""
    wanted = {item.engine for item in items if item.engine}
    known = await store.load_all(connection, "engine", sorted(wanted))
    wrong: list[FieldProblem] = []
    for number, item in enumerate(items):
        if number % BATCH_ITEMS == 0:
            await asyncio.sleep(0)
        engine = known.get(item.engine or "")
        if engine is None:
            words = f"is not an engine: {await _engine_words(connection)}" if not wrong else "is not an engine"
            wrong.append(FieldProblem(f"items.{number}.engine", repr(item.engine), words))
        elif (kind := _kind(engine.definition)) != item.work.kind:
            words = f"engine {item.engine} runs {kind}, not {item.work.kind}"
            wrong.append(FieldProblem(f"items.{number}.work.kind", repr(item.work.kind), words))
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
