"""One client of the live feed: what it follows, and what waits to be sent to it, within bounds."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from signalbox_contracts.live import Filter
from signalbox_contracts.notifications import NOTIFICATION
from signalbox_notifier.store.live import LiveRow

MAX_QUEUED_BYTES: Final = 1_048_576
REPLAYED_BYTES: Final = MAX_QUEUED_BYTES // 2
"""A replay waits while more than this is queued."""
MAX_FOLLOWING: Final = 200
"""Subscriptions of one client."""
SLOW: Final = 4408
RESTARTING: Final = 1012


@dataclass(eq=False)
class Following:
    """One subscription. A plan's has the sequence up to which events were queued."""

    id: str
    plan: UUID | None
    filter: Filter
    position: int = 0
    is_live: bool = False
    """Whether new events go to it at once: before, those it missed are read."""


@dataclass(eq=False)
class Client:
    """What one WebSocket follows. `projects` are those it may see; None is all. `plain` clients get bare events."""

    projects: frozenset[str] | None = None
    plain: bool = False
    user: str = ""
    """Who it is: messages to one user are for no other."""
    following: dict[str, Following] = field(default_factory=dict[str, Following], init=False)
    """By id. Changed by `follow` and `unfollow` alone."""
    _of_plan: dict[UUID | None, list[Following]] = field(default_factory=dict[UUID | None, list[Following]])
    has_frames: asyncio.Event = field(default_factory=asyncio.Event)
    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether a replay may go on: what waits is sent first, else a long one would overflow the queue by itself."""
    overflowed: bool = False
    _queued: deque[str] = field(default_factory=deque[str])
    _events: list[str] = field(default_factory=list[str])
    _bytes: int = 0

    def __post_init__(self) -> None:
        self.has_room.set()

    def may_see(self, project: str) -> bool:
        return self.projects is None or project in self.projects

    def follow(self, following: Following) -> None:
        """One more subscription; its id must be free."""
        self.following[following.id] = following
        self._of_plan.setdefault(following.plan, []).append(following)

    def unfollow(self, id: str) -> None:
        removed = self.following.pop(id, None)
        if removed is not None:
            self._of_plan[removed.plan].remove(removed)
            if not self._of_plan[removed.plan]:
                del self._of_plan[removed.plan]

    def follows(self, plan: UUID | None) -> bool:
        """Whether a subscription is to this plan; None: to whatever it may see."""
        return plan in self._of_plan

    def _is_for_it(self, event: dict[str, Any]) -> bool:
        return event["type"] != NOTIFICATION or event["data"].get("to") in (None, self.user)

    def offer(self, row: LiveRow, event: dict[str, Any], only: Iterable[Following] | None = None) -> bool:
        """Queue an event if something here follows it; whether it was."""
        if not self.may_see(event["project"]) or not self._is_for_it(event):
            return False
        wanting: list[str] = []
        replayed = only is not None
        if only is None:
            only = (*self._of_plan.get(None, ()), *self._of_plan.get(row.plan_id, ()))
        for one in only:
            if one.plan is None:
                if one.filter.matches(event):
                    wanting.append(one.id)
            elif one.plan == row.plan_id and (one.is_live or replayed) and row.sequence > one.position:
                one.position = row.sequence
                if one.filter.matches(event):
                    wanting.append(one.id)
        if not wanting:
            return False
        text = f'{row.body[:-1]},"sequence":{row.sequence}'
        if self.plain:
            self._add(f"{text}}}", self._queued)
        else:
            self._add(f'{text},"subscriptions":{to_json(wanting).decode()}}}', self._events)
        return True

    def confirm(self, id: str, sequence: int, newest: int) -> None:
        self._control({"subscribed": {"id": id, "sequence": sequence, "newest": newest}})

    def need_snapshot(self, id: str, plan: UUID, newest: int) -> None:
        """The events it asks for are not kept: it has to read the plan itself, and goes on from `sequence`."""
        self._control({"snapshot_needed": {"id": id, "plan": plan, "sequence": newest, "url": f"/api/v1/plans/{plan}"}})

    def refuse(self, id: str | None, problem: str, detail: str) -> None:
        self._control({"refused": {"id": id, "type": f"/problems/{problem}", "detail": detail[:1000]}})

    def answer(self, name: str, value: Any) -> None:
        self._control({name: value})

    def take(self) -> list[str]:
        """The frames to send now. Events that came since the last time are one frame."""
        self._flush()
        frames = list(self._queued)
        self._queued.clear()
        self._bytes = 0
        self.has_frames.clear()
        self.has_room.set()
        return frames

    def abandon(self) -> None:
        """Nothing is sent to it any more: who waits for room goes on."""
        self.overflowed = True
        self.has_room.set()

    def _control(self, message: dict[str, Any]) -> None:
        if not self.plain:
            self._flush()  # events before it stay before it
            self._add(to_json(message).decode(), self._queued)

    def _flush(self) -> None:
        if self._events:
            self._queued.append(f'{{"events":[{",".join(self._events)}]}}')
            self._events = []

    def _add(self, text: str, to: "list[str] | deque[str]") -> None:
        if self.overflowed:
            return
        self._bytes += len(text)
        if self._bytes > REPLAYED_BYTES:
            self.has_room.clear()
        if self._bytes > MAX_QUEUED_BYTES:
            self.abandon()
            self._queued.clear()
            self._events = []
        else:
            to.append(text)
        self.has_frames.set()
