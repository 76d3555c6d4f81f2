"""Hands events out: reads what is new of the plans that changed, and gives each client what it follows.

Content comes from PostgreSQL; a wake-up says only that there is something. Without wake-ups the hub looks by itself.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prometheus_client import Counter, Gauge, Histogram
from pydantic_core import from_json

from signalbox_chassis.persistence.clock import present_time
from signalbox_chassis.persistence.database import Database
from signalbox_notifier.live.client import Client, Following
from signalbox_notifier.store import live
from signalbox_notifier.store.live import LiveRow

OVERLAP_SECONDS = 3.0
SWEEP_OVERLAP_SECONDS = 35.0
"""A transaction may commit so long after it stamped its plan: no handler takes longer."""
SWEEP_SECONDS = 5.0
MAX_CURSORS = 100_000
REPLAYED_ROWS = 500
"""Events that one read of a replay returns: each may have some kilobytes."""
_CLIENTS = Gauge("signalbox_live_clients", "WebSockets that are open here")
_EVENTS = Counter("signalbox_live_events_total", "Events handed to clients")
_READ_SECONDS = Histogram("signalbox_live_pass_seconds", "How long one pass over new events took")


@dataclass
class Hub:
    """The clients of one notifier."""

    database: Database
    clients: set[Client] = field(default_factory=set[Client])
    _cursors: "OrderedDict[UUID, int]" = field(default_factory=OrderedDict[UUID, int])
    _general: set[Client] = field(default_factory=set[Client])
    """Those that follow whatever they may see."""
    _by_plan: dict[UUID, set[Client]] = field(default_factory=dict[UUID, "set[Client]"])
    _since: datetime | None = None
    _began: datetime | None = None
    _next_sweep: datetime | None = None

    def add(self, client: Client) -> None:
        self.clients.add(client)
        _CLIENTS.set(len(self.clients))

    def remove(self, client: Client) -> None:
        self.clients.discard(client)
        self._general.discard(client)
        for plan in [one.plan for one in client.following.values() if one.plan is not None]:
            self._forget(plan, client)
        _CLIENTS.set(len(self.clients))

    def unfollow(self, client: Client, id: str) -> None:
        removed = client.following.get(id)
        client.unfollow(id)
        if removed is None or client.follows(removed.plan):
            return
        if removed.plan is None:
            self._general.discard(client)
        else:
            self._forget(removed.plan, client)

    def follow_all(self, client: Client, following: Following) -> None:
        """Whatever the client may see, from now on."""
        self.unfollow(client, following.id)
        client.follow(following)
        self._general.add(client)

    async def follow_plan(self, client: Client, following: Following, after: int | None) -> None:
        """Replay the events after a sequence, then go live. An `after` that is not kept any more needs a snapshot."""
        plan = following.plan
        assert plan is not None
        self.unfollow(client, following.id)
        async with self.database.connection() as connection:
            bounds = await live.bounds(connection, plan)
        if bounds is not None and not client.may_see(bounds.project):
            client.refuse(following.id, "forbidden", f"plan {plan} is not yours to see")
            return
        newest = bounds.newest if bounds is not None else 0
        oldest = bounds.oldest if bounds is not None and bounds.oldest is not None else newest + 1
        start = newest if after is None else after
        if start > newest or start + 1 < oldest:
            client.need_snapshot(following.id, plan, newest)
            start = newest
        following.position = start
        client.follow(following)
        self._by_plan.setdefault(plan, set()).add(client)
        self._cursors.setdefault(plan, start)
        client.confirm(following.id, start, newest)
        await self._replay(client, following, plan)

    async def _replay(self, client: Client, following: Following, plan: UUID) -> None:
        while client.following.get(following.id) is following:
            async with self.database.connection() as connection:
                rows = await live.read(connection, {plan: following.position}, REPLAYED_ROWS)
            for row in rows:
                await client.has_room.wait()
                if client.overflowed or client.following.get(following.id) is not following:
                    return
                client.offer(row, _parsed(row), [following])
            if not rows and self._cursors.get(plan, 0) <= following.position:
                following.is_live = True  # nothing awaited since the read: the next pass finds it
                return

    async def one_pass(self) -> bool:
        """Read what is new, and hand it out; True when there is more."""
        with _READ_SECONDS.time():
            async with self.database.connection() as connection:
                now = await present_time(connection)
                self._began = self._began or now
                if not self.clients:
                    self._since = now
                    self._began = now
                    self._cursors.clear()
                    return False
                newest = await live.changed(connection, self._window(now))
                cursors = await self._positions(connection, newest)
                rows = await live.read(connection, cursors) if cursors else []
            self._hand_out(rows)
            if len(rows) < live.MAX_ROWS:
                self._since = now
        return len(rows) >= live.MAX_ROWS

    def _window(self, now: datetime) -> datetime:
        since = self._since or now
        if self._next_sweep is None or now >= self._next_sweep:
            self._next_sweep = now + timedelta(seconds=SWEEP_SECONDS)
            return since - timedelta(seconds=SWEEP_OVERLAP_SECONDS)
        return since - timedelta(seconds=OVERLAP_SECONDS)

    async def _positions(self, connection: Any, newest: dict[UUID, int]) -> dict[UUID, int]:
        """Where to read on, for each plan somebody follows that has something new."""
        behind = {plan: at for plan, at in newest.items() if self._cursors.get(plan, -1) < at}
        wanted = [plan for plan in behind if self._general or plan in self._by_plan]
        unknown = [plan for plan in wanted if plan not in self._cursors]
        assert self._began is not None
        first = await live.first_since(connection, unknown, self._began) if unknown else {}
        return {plan: self._cursors.get(plan, first.get(plan, newest[plan])) for plan in wanted}

    def _hand_out(self, rows: Iterable[LiveRow]) -> None:
        handed = 0
        for row in rows:
            if self._cursors.get(row.plan_id, -1) >= row.sequence:
                continue
            self._cursors[row.plan_id] = row.sequence
            self._cursors.move_to_end(row.plan_id)
            event = _parsed(row)
            for client in {*self._general, *self._by_plan.get(row.plan_id, ())}:
                handed += client.offer(row, event)
        while len(self._cursors) > MAX_CURSORS:
            self._cursors.popitem(last=False)
        _EVENTS.inc(handed)

    def _forget(self, plan: UUID, client: Client) -> None:
        followers = self._by_plan.get(plan)
        if followers is not None:
            followers.discard(client)
            if not followers:
                del self._by_plan[plan]


def _parsed(row: LiveRow) -> dict[str, Any]:
    event: dict[str, Any] = from_json(row.body)
    return event
