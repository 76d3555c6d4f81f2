"""What a request is refused for, and what its items become."""

import uuid
from datetime import UTC, date, datetime
from typing import Any

import pytest

from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.work import ProcessWork, ScriptedWork
from signalbox_contracts.messages.requests import PlanRequestData, RequestedItem, RunItems, RunJob
from signalbox_planner import expand
from signalbox_planner.expand import RequestRefused
from signalbox_planner.plan import Item

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
ANN = "user:ann"
PLAN = uuid.UUID(int=1)
PLAIN = RequestedItem(key="plain", engine="e1", work=ScriptedWork.model_validate({"script": {}}))


def page(number: int, pages: int, *items: RequestedItem, **more: Any) -> PlanRequestData:
    return PlanRequestData(
        plan_id=PLAN, page=number, pages=pages, name="a list", actor=ANN, definitions_revision=1, items=items,
        what=RunItems() if number == pages else None, **more,
    )  # fmt: skip


def command(*words: str) -> RequestedItem:
    return RequestedItem(key="loads", engine="e1", work=ProcessWork(argv=words))


def items_of(*items: RequestedItem) -> list[Item]:
    return expand.page_items(PLAN, 2, items, event_date=date(2026, 1, 1), name="a list", actor=ANN)


def test_a_page_beyond_a_hundred_thousand_items_is_refused() -> None:
    expand.check_page(page(7, 9, PLAIN), pages=9, items=99_999)
    with pytest.raises(RequestRefused, match="items: with page 7 there are 100001: at most 100000"):
        expand.check_page(page(7, 9, PLAIN), pages=9, items=100_000)


def test_pages_that_disagree_about_their_number_are_refused() -> None:
    with pytest.raises(RequestRefused, match="pages: page 2 has 3, an earlier one 4"):
        expand.check_page(page(2, 3), pages=4, items=0)


def test_templates_of_a_list_are_rendered_with_the_event_date_and_the_run() -> None:
    rendered, plain = items_of(command("load", "{{ event_date }}", "{{ run.id }}:{{ run.actor }}"), PLAIN)
    assert ProcessWork.model_validate_json(rendered.work).argv == ("load", "2026-01-01", f"{PLAN}:{ANN}")
    assert plain.work == PLAIN.work.model_dump_json()
    assert (rendered.position, plain.position) == (200, 201)


@pytest.mark.parametrize(
    ("requested_at", "day"),
    [
        ("2026-03-28T23:59:59.999999Z", date(2026, 3, 27)),
        ("2026-03-29T00:00:01Z", date(2026, 3, 28)),
        ("2026-03-29T01:59:59+02:00", date(2026, 3, 27)),
        ("2026-03-01T00:00:00Z", date(2026, 2, 28)),
    ],
)
def test_the_event_date_is_the_day_before_the_request_in_utc(requested_at: str, day: date) -> None:
    """Without it a run around midnight, or in another zone, would load the wrong day."""
    at = datetime.fromisoformat(requested_at)
    assert expand.plan_spec(page(1, 1, PLAIN), at, project=None).event_date == day
    named = page(1, 1, PLAIN, event_date=date(2020, 2, 29))
    assert expand.plan_spec(named, at, project=None).event_date == date(2020, 2, 29)


@pytest.mark.parametrize("word", ["{{ params.table }}", "{{ nobody }}"])
def test_a_template_that_cannot_be_rendered_is_refused_by_the_items_name(word: str) -> None:
    with pytest.raises(RequestRefused, match="work of item 'loads'"):
        items_of(command("load", word))


def test_the_project_of_a_list_is_that_of_its_request() -> None:
    data = page(1, 1, PLAIN)
    assert expand.plan_spec(data, NOW, project="billing").project == "billing"
    assert expand.plan_spec(data, NOW, project=None).project == "default"


def test_work_that_outgrows_a_message_when_it_is_rendered_is_refused_with_its_size() -> None:
    """Its command could not be sent: the request was parked, and the plan never left its first state."""
    words = ["{{ params.blob }}"] * 15
    large = Job.model_validate(
        {"id": "j", "name": "j", "engine": "e1", "params": {"blob": {"type": "string"}},
         "work": {"kind": "process", "argv": words}}
    )  # fmt: skip
    day = date(2026, 1, 1)
    small, _ = expand.job_item(PLAN, RunJob(job=large, params={"blob": "x"}), event_date=day, name="j", actor=ANN)
    assert small.key == "j"
    run = RunJob(job=large, params={"blob": "x" * 16_000})
    with pytest.raises(RequestRefused, match=r"work of job j takes 25\d{4} bytes with its parameters: at most 220000"):
        expand.job_item(PLAN, run, event_date=day, name="j", actor=ANN)


def test_a_request_with_an_event_date_needs_no_day_before_it() -> None:
    """Go writes the year 1 for an instant that was never set, and an event brings it."""
    data = page(1, 1, PLAIN, event_date=date(2026, 1, 1))
    assert expand.plan_spec(data, datetime(1, 1, 1, tzinfo=UTC), project=None).event_date == date(2026, 1, 1)
