"""Which dates of a coordinator live in Oozie and which in Airflow, on a stand-in of an Oozie server."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.selection import LookUp, RoutedActions
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_executor.engines.oozie import selections
from signalbox_executor.engines.oozie.answers import BundleAnswer, CoordinatorAnswer
from signalbox_executor.engines.oozie.nominal_times import times_beyond_end
from signalbox_executor.engines.oozie.selections import Resolver
from signalbox_executor.engines.port import EngineRefused

ID = "0000001-260101000000000-oozie-sb-C"
MOVE = Move.model_validate(
    {
        "id": "daily", "name": "daily", "engine": "ooz", "coordinator": "daily-load", "airflow_engine": "air",
        "dag_id": "daily", "moved_at": "2026-01-06T00:00:00Z",
    }
)  # fmt: skip


def http_date(at: datetime) -> str:
    return f"{at:%a, %d %b %Y %H:%M:%S} GMT"


class Server:
    """One coordinator with these daily actions; it ended where it moved."""

    def __init__(self, days: int = 5, **changes: Any) -> None:
        self.days = days
        self.body: dict[str, Any] = {
            "coordJobId": ID, "coordJobName": "daily-load", "status": "SUCCEEDED", "frequency": "1",
            "timeUnit": "DAY", "timeZone": "UTC", "startTime": http_date(datetime(2026, 1, 1, tzinfo=UTC)),
            "endTime": http_date(datetime(2026, 1, 6, tzinfo=UTC)),
            "nextMaterializedTime": http_date(datetime(2026, 1, 6, tzinfo=UTC)), "total": days, **changes,
        }  # fmt: skip
        self.rest = type("Rest", (), {"name": "ooz", "url": "http://oozie"})()

    async def coordinator(self, id: str, *, offset: int = 1, length: int = 0, filter: str | None = None) -> Any:
        assert id == ID
        actions = [self.action(n) for n in range(1, self.days + 1)]
        for condition in (filter or "").split(";"):
            if condition.startswith("nominaltime>="):
                actions = [one for one in actions if one["at"] >= condition.removeprefix("nominaltime>=")]
            if condition.startswith("nominaltime<="):
                actions = [one for one in actions if one["at"] <= condition.removeprefix("nominaltime<=")]
        page = actions[offset - 1 : offset - 1 + length]
        return CoordinatorAnswer.model_validate({**self.body, "total": len(actions), "actions": page})

    def action(self, number: int) -> dict[str, Any]:
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)
        return {
            "id": f"{ID}@{number}", "actionNumber": number, "status": "KILLED", "nominalTime": http_date(at),
            "at": f"{at:%Y-%m-%dT%H:%MZ}",
        }  # fmt: skip

    async def bundle(self, id: str) -> Any:
        return BundleAnswer.model_validate({"bundleJobId": id, "status": "RUNNING", "bundleCoordJobs": [self.body]})


async def find(server: Server, selection: LookUp) -> list[ResolvedItem]:
    """Every item, through all pages."""
    resolver, page, found = Resolver(cast("Any", server), cast("Any", None)), None, list[ResolvedItem]()
    while True:
        answer = await resolver.resolve(selection, page)
        found += answer.items
        page = answer.next_page
        if page is None:
            return found


def selection(first: str = "2026-01-04T00:00:00Z", last: str = "2026-01-08T00:00:00Z", **more: Any) -> RoutedActions:
    values = {"coordinators": [ID], "dates": [[first, last]], "moves": [MOVE], **more}
    return RoutedActions.model_validate(values)


def homes(items: list[ResolvedItem]) -> list[tuple[str, str]]:
    """Key and logical date of each item; the date is empty for what lives in Oozie."""
    return [(one.key, cast("Any", one.details).get("logical_date", "")) for one in items]


async def test_a_range_is_cut_where_the_coordinator_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates in Airflow follow from the frequency, also beyond the end; each page but the last is full."""
    monkeypatch.setattr(selections, "PAGE_ITEMS", 2)
    expected = [
        (f"{ID}@4", ""), (f"{ID}@5", ""), (f"{ID}@2026-01-06T00:00Z", "2026-01-06T00:00:00Z"),
        (f"{ID}@2026-01-07T00:00Z", "2026-01-07T00:00:00Z"), (f"{ID}@2026-01-08T00:00Z", "2026-01-08T00:00:00Z"),
    ]  # fmt: skip
    found = await find(Server(), selection())
    assert homes(found) == expected
    assert {cast("Any", one.details)["move"] for one in found} == {"daily"}
    bundle = "0000009-260101000000000-oozie-sb-B"
    assert homes(await find(Server(), selection(coordinators=[], bundles=[bundle]))) == expected


async def test_an_action_that_oozie_made_after_the_move_lives_in_airflow() -> None:
    """A coordinator that went on for a while beside its DAG is not rerun there."""
    both = Server(days=7)
    assert [key for key, date in homes(await find(both, selection())) if date] == [
        f"{ID}@2026-01-06T00:00Z", f"{ID}@2026-01-07T00:00Z", f"{ID}@2026-01-08T00:00Z",
    ]  # fmt: skip
    numbered = await find(both, selection(dates=[], numbers=[(5, 6)]))
    assert homes(numbered) == [(f"{ID}@5", ""), (f"{ID}@2026-01-06T00:00Z", "2026-01-06T00:00:00Z")]
    everything = await find(both, selection(dates=[]))
    assert [date for _, date in homes(everything) if date] == ["2026-01-06T00:00:00Z", "2026-01-07T00:00:00Z"]


async def test_a_move_by_id_goes_before_one_by_name_and_other_coordinators_stay() -> None:
    by_id = MOVE.model_copy(update={"id": "by-id", "coordinator": ID, "moved_at": datetime(2026, 1, 5, tzinfo=UTC)})
    found = await find(Server(), selection(moves=[MOVE, by_id]))
    assert [cast("Any", one.details)["move"] for one in found] == ["by-id"] * 5
    assert homes(found)[1][1] == "2026-01-05T00:00:00Z"
    other = MOVE.model_copy(update={"coordinator": "weekly-load"})
    alone = await find(Server(), selection(last="2026-01-05T00:00:00Z", moves=[other]))
    assert [cast("Any", one.details).get("move") for one in alone] == [None, None]


async def test_days_are_those_of_the_coordinators_zone() -> None:
    start = datetime(2026, 3, 27, 23, tzinfo=UTC)  # midnight in Prague
    server = Server(days=0, timeZone="Europe/Prague", startTime=http_date(start), endTime=http_date(start))
    move = MOVE.model_copy(update={"moved_at": start})
    found = await find(server, selection("2026-03-27T00:00:00Z", "2026-03-30T23:00:00Z", moves=[move]))
    assert [date for _, date in homes(found)] == [
        "2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frequency": "0 10 * * *"}, "its frequency '0 10 \\* \\* \\*'"),
        ({"timeZone": "Mars/Olympus"}, "its time zone 'Mars/Olympus' is not known"),
        ({"timeUnit": "END_OF_MONTH"}, "END_OF_MONTH"),
    ],
)
async def test_dates_that_cannot_be_computed_are_refused_and_not_left_out(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineRefused, match=words) as refused:
        await find(Server(**changes), selection("2026-01-06T00:00:00Z"))
    assert refused.value.field == "selection.dates"


def test_dates_years_after_the_start_of_a_frequent_coordinator_are_found() -> None:
    """Counted from the start, they lay beyond the steps that are looked at."""
    body: dict[str, Any] = {**Server().body, "frequency": "5", "timeUnit": "MINUTE"}
    coordinator = CoordinatorAnswer.model_validate(body)
    at = datetime(2029, 1, 1, tzinfo=UTC)
    found = list(times_beyond_end(coordinator, at, at + timedelta(minutes=10)))
    assert [time for _, time in found] == [at, at + timedelta(minutes=5), at + timedelta(minutes=10)]
    assert found[0][0] == 1 + (at - datetime(2026, 1, 1, tzinfo=UTC)) // timedelta(minutes=5)
