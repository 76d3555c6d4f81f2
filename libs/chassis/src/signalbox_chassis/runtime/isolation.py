"""One bad item must not stop the rest: batches are written together, and where that fails, in halves.

What is left in the end are the items at fault, each with its own error. A fault that passes by itself (the database is
away) is raised: it is not an item's.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from prometheus_client import Counter

from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.observability.logs import redact

log = logging.getLogger(__name__)
_FAULTY = Counter("signalbox_faulty_items_total", "Items left out of a batch that they failed", ["part"])
REASON_CHARACTERS = 300

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Faulty(Generic[T]):
    """An item that fails by itself, and why."""

    item: T
    error: Exception

    @property
    def reason(self) -> str:
        return describe_fault(self.error)


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: None) -> None: ...
def storable(text: str | None) -> str | None:
    """The text with a replacement for what neither PostgreSQL nor UTF-8 can hold: zero characters, lone surrogates."""
    if text is None:
        return None
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def describe_fault(error: BaseException) -> str:
    """The kind and the text of an error, short, without secrets and without what PostgreSQL cannot store."""
    return redact(storable(f"{type(error).__name__}: {error}"))[:REASON_CHARACTERS]


async def isolate(
    items: Sequence[T],
    write: Callable[[Sequence[T]], Awaitable[None]],
    *,
    part: str,
    raised: tuple[type[Exception], ...] = (),
) -> list[Faulty[T]]:
    """Write the items, and return those that cannot be written. `write` is one transaction: it may be repeated.

    Raises what passes by itself, as `classify` says, and what is `raised`: that is no item's fault either.
    """
    if not items:
        return []
    try:
        await write(items)
    except Exception as error:
        if isinstance(error, raised) or classify(error) is not Failure.LASTING:
            raise
        if len(items) == 1:
            note_fault(part, error)
            return [Faulty(items[0], error)]
    else:
        return []
    middle = len(items) // 2
    faulty = await isolate(items[:middle], write, part=part, raised=raised)
    return [*faulty, *await isolate(items[middle:], write, part=part, raised=raised)]


def readable(
    rows: Iterable[R], parse: Callable[[R], T], *, part: str, name: Callable[[R], str] | None = None
) -> list[T]:
    """The rows as values, without those that cannot be read: they are counted, and logged by `name`."""
    found: list[T] = []
    for row in rows:
        try:
            found.append(parse(row))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            note_fault(part, error, "" if name is None else name(row))
    return found


def note_fault(part: str, error: Exception, name: str = "") -> None:
    """Count and log an item that was left out."""
    _FAULTY.labels(part).inc()
    log.error("left out of %s: %s%s", part, f"{name}: " if name else "", describe_fault(error))
