"""Day partitions: which are made, and which are dropped."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.persistence.partitions import AHEAD_DAYS, maintain, partition_name


class FakeConnection:
    """A catalogue of partitions that follows the statements it is given."""

    def __init__(self, *names: str, unsent: set[str] | None = None) -> None:
        self.names = {"inbox_default", "outbox_default", *names}
        self.unsent = unsent or set[str]()
        self.made: dict[str, str] = {}
        self.dropped: list[str] = []

    async def fetch(self, query: str, schema: str, table: str) -> list[dict[str, Any]]:
        return [{"relname": name} for name in self.names if name.rpartition("_")[0] == table]

    async def fetchval(self, query: str) -> bool:
        return any(f'"{name}"' in query for name in self.unsent)

    async def execute(self, query: str, *args: object) -> str:
        words = query.replace('"', "").split()
        if words[:2] == ["CREATE", "TABLE"]:
            self.made[words[5]] = query.partition("FOR VALUES ")[2].partition(" WITH")[0]
        elif words[:2] == ["DROP", "TABLE"]:
            self.dropped.append(words[4])
        return ""


class FakeDatabase:
    schema = "planner"

    def __init__(self, fake: FakeConnection) -> None:
        self._fake = fake

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[FakeConnection]:
        yield self._fake


class At:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


async def maintained(fake: FakeConnection, *, inbox_days: int = 3, outbox_days: int = 2) -> FakeConnection:
    clock = At(datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    await maintain(cast("Database", FakeDatabase(fake)), clock, inbox_days=inbox_days, outbox_days=outbox_days)
    return fake


@given(st.dates(date(1970, 1, 1), date(9998, 12, 31)), st.dates(date(1970, 1, 1), date(9998, 12, 31)))
def test_names_are_ordered_as_their_days_are(one: date, other: date) -> None:
    """Old partitions are told by comparing names."""
    assert (partition_name("inbox", one) < partition_name("inbox", other)) == (one < other)
    assert partition_name("outbox", date(2026, 3, 1)) == "outbox_20260301"


async def test_the_inbox_has_a_day_for_each_event_that_may_still_come_and_both_are_made_ahead() -> None:
    fake = await maintained(FakeConnection())
    assert list(fake.made) == [
        "inbox_20260226", "inbox_20260227", "inbox_20260228", "inbox_20260301", "inbox_20260302", "inbox_20260303",
        "outbox_20260301", "outbox_20260302", "outbox_20260303",
    ]  # fmt: skip
    assert len([name for name in fake.made if name > "outbox_20260301"]) == AHEAD_DAYS
    assert fake.made["inbox_20260228"] == "FROM ('2026-02-28') TO ('2026-03-01')"
    assert fake.dropped == []


async def test_what_is_there_is_not_made_again() -> None:
    fake = await maintained(FakeConnection("inbox_20260301", "outbox_20260302"))
    assert "inbox_20260301" not in fake.made
    assert "outbox_20260302" not in fake.made
    assert len(fake.made) == 7


async def test_partitions_past_their_days_are_dropped_and_no_other() -> None:
    fake = await maintained(
        FakeConnection("inbox_20260225", "inbox_20260226", "outbox_20260226", "outbox_20260227", "inbox_old")
    )
    assert fake.dropped == ["inbox_20260225", "outbox_20260226"]


async def test_an_old_outbox_day_that_holds_an_unsent_row_is_kept() -> None:
    """Dropping it would lose a message that was promised."""
    fake = await maintained(
        FakeConnection("outbox_20260101", "outbox_20260102", "inbox_20260101", unsent={"outbox_20260101"})
    )
    assert fake.dropped == ["inbox_20260101", "outbox_20260102"]


@pytest.mark.parametrize("days", [1, 400])
async def test_no_day_that_was_just_made_is_dropped(days: int) -> None:
    fake = FakeConnection()
    await maintained(fake, inbox_days=days, outbox_days=days)
    fake.names |= set(fake.made)
    assert (await maintained(fake, inbox_days=days, outbox_days=days)).dropped == []
