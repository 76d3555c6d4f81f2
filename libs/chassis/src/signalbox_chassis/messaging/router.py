"""Which function handles which message, and how a batch is cut into calls.

A handler gets all events of its type that may be handled together: `async def f(work, events)`. Within one Kafka key
the order of the batch is kept; across keys nothing is promised, so events of one type are gathered into one call.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.envelope import Event

E = TypeVar("E", bound=Event[Any])
Batch = Sequence[Received[Any]]
Handler = Callable[[UnitOfWork, Sequence[Received[E]]], Awaitable[None]]


class HandlerTwice(ValueError):
    """Two functions were registered for one message."""


class Router:
    """The handlers of one subscriber."""

    def __init__(self) -> None:
        self._handlers: dict[type[Event[Any]], Handler[Any]] = {}
        self._relevant: dict[type[Event[Any]], Callable[[Any], bool]] = {}
        self._repeats: dict[type[Event[Any]], Handler[Any]] = {}

    def on(self, message: type[E], *, only: Callable[[E], bool] | None = None) -> Callable[[Handler[E]], Handler[E]]:
        """Register the handler of one message class. Events that are not `only` cost no transaction."""

        def register(handler: Handler[E]) -> Handler[E]:
            if message in self._handlers:
                raise HandlerTwice(message.__name__)
            self._handlers[message] = handler
            if only is not None:
                self._relevant[message] = only
            return handler

        return register

    def on_repeated(self, message: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Register what counts events of a class that were handled before. Others are dropped."""

        def register(handler: Handler[E]) -> Handler[E]:
            self._repeats[message] = handler
            return handler

        return register

    def handles(self, event: Event[Any]) -> bool:
        """Whether the event has a handler and is one of those it wants."""
        relevant = self._relevant.get(type(event))
        return type(event) in self._handlers and (relevant is None or relevant(event))

    async def handle(self, work: UnitOfWork, batch: Batch) -> None:
        """Run the handlers of the batch inside the open transaction."""
        for message, events in gather(batch):
            await self._handlers[message](work, events)

    async def handle_repeated(self, work: UnitOfWork, batch: Batch) -> None:
        """Run the handlers of events that were handled before, inside the open transaction."""
        for message, handler in self._repeats.items():
            if events := [received for received in batch if type(received.event) is message]:
                await handler(work, events)


def gather(batch: Iterable[Received[Any]]) -> list[tuple[type[Event[Any]], list[Received[Any]]]]:
    """Cut a batch into calls: an event joins the last call of its type unless a later call already holds its key."""
    calls: list[tuple[type[Event[Any]], list[Received[Any]]]] = []
    last_call_of_type: dict[type[Event[Any]], int] = {}
    last_call_of_key: dict[bytes | None, int] = {}
    for received in batch:
        message = cast("type[Event[Any]]", type(received.event))
        key = received.record.key
        at = last_call_of_type.get(message, -1)
        if at < 0 or last_call_of_key.get(key, -1) > at:
            at = len(calls)
            calls.append((message, []))
            last_call_of_type[message] = at
        calls[at][1].append(received)
        last_call_of_key[key] = at
    return calls
