"""Derived ids name stored things: these values may never change."""

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from signalbox_contracts import ids

PLAN = UUID("0195e1a0-7c00-7000-8000-000000000001")
DUE = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)


def test_every_derivation_gives_the_value_it_has_always_given() -> None:
    """Without this, a harmless-looking edit would run stored ticks, plans and attempts a second time."""
    assert ids.fact_id("signalbox.plan.state.v1", str(PLAN), 3) == "588c0e00-4334-5548-a012-9aac015e8992"
    assert ids.items_fact_id("t", "s", [("a", 1), ("b", 2)]) == "d2a6fa82-9d51-596c-8efe-0a39ac8c0be3"
    assert ids.page_id("t", "s", 1, 2) == "b0a518f3-e818-58ea-a9b0-921a0342295f"
    assert ids.derived_id("t", "s", "why", 1) == "2ceddf14-df68-5ffc-ada2-e3d71c5b2de2"
    assert str(ids.task_id(PLAN, "load")) == "05e74b17-672c-52ec-891f-9e9ce3d054bd"
    assert ids.run_key(ids.task_id(PLAN, "load"), 2) == "sb-05e74b17-672c-52ec-891f-9e9ce3d054bd-2"
    assert ids.run_key_hash128("sb-x-1") == "724e9325a8e6c9d7215bef4b782646fe"
    assert str(ids.plan_id_from_key("user:ann", "k")) == "78bfe151-51ff-556d-868a-1b63e8fb5406"
    assert str(ids.tick_id("nightly", DUE)) == "54953eba-9999-55f1-bbff-7063d859dd20"
    assert str(ids.plan_id_from_tick(ids.tick_id("nightly", DUE))) == "de7caf0a-629d-58c0-8968-6c55c4a9e1bf"
    assert str(ids.plan_id_from_trigger("t", "/s", "1")) == "2887d2fd-eb64-5f5e-991d-90628038e740"
    assert str(ids.child_plan_id(PLAN, "r")) == "db266020-75d2-5686-85a4-8186a3f400e9"
    assert str(ids.selection_id(PLAN, "0", 1)) == "944268ef-45a2-5ecd-8e95-a8c8815339f9"
    assert str(ids.delivery_id("c", "s", "e")) == "5e082877-5cf3-5dd8-b075-1fe0dba2546c"
    assert str(ids.dead_letter_id("s", "t", 1, 2, 3)) == "0adb5287-b183-5051-b7ca-92f0c4314c15"
    assert ids.inbox_id("/s", "1").hex() == "892742fe5a172b0ec9d288accb7fa713"


def test_ids_differ_when_the_parts_are_split_elsewhere() -> None:
    assert ids.plan_id_from_key("user:a", "b") != ids.plan_id_from_key("user", "a:b")
    assert ids.inbox_id("a:b", "c") != ids.inbox_id("a", "b:c")
    assert ids.derived_id("t", "s", "a:b") != ids.derived_id("t", "s", "a", "b")


def test_a_tick_is_the_same_in_every_zone_and_needs_one() -> None:
    elsewhere = DUE.astimezone(timezone(timedelta(hours=2)))
    assert ids.tick_id("nightly", elsewhere) == ids.tick_id("nightly", DUE)
    with pytest.raises(ValueError, match="time zone"):
        ids.tick_id("nightly", DUE.replace(tzinfo=None))


@pytest.mark.parametrize("attempt", [1, 9_999_999])
def test_a_run_key_is_a_dns_label_with_room_for_a_pod_suffix(attempt: int) -> None:
    key = ids.run_key(ids.task_id(PLAN, "x" * 255), attempt)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", key)
    assert len(key) <= 63 - 12


@pytest.mark.parametrize("attempt", [0, -1, 10_000_000])
def test_an_attempt_number_outside_its_range_is_refused(attempt: int) -> None:
    with pytest.raises(ValueError, match=f"attempt {attempt} is not allowed"):
        ids.run_key(PLAN, attempt)
