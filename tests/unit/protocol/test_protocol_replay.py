"""The replay finds every path that is none of the model's, and nothing to say of those that are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from support.audit import Audited, Change

from .replay import judge
from .state import TERMINAL
from .statements import Statement

TASK, ANN, BOB = UUID(int=1), UUID(int=10), UUID(int=11)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
NEW = Audited("QUEUED", 1, 0, None, 0, 1, False, False, None, False, None, 0, 2, 1)
Did = tuple[str, dict[str, Any]]
"""The session that made a change, and the columns it changed."""

CLAIMED: Did = ("ann", {"state": "CLAIMED", "fence": 1, "owner": ANN, "version": 2})
SUBMITTING: Did = ("ann", {"state": "SUBMITTING", "sends": 1, "version": 3})
RUNNING: Did = ("ann", {"state": "RUNNING", "owner": None, "handle": "h", "version": 4})
TO_SUBMITTING = [CLAIMED, SUBMITTING]
TO_RUNNING = [CLAIMED, SUBMITTING, RUNNING]
TO_UNKNOWN = [*TO_RUNNING, ("bob", {"state": "UNKNOWN", "version": 5})]
OVER = {"sends": 0, "handle": None, "attempt": 2, "cause": "failed"}
FLAG: Did = ("any", {"cancelled": True, "kill": True, "version": 5})
TO_END = [*TO_RUNNING, ("bob", {"state": "SUCCEEDED", "cause": "completed", "version": 5})]


def path(steps: Sequence[Did], first: Audited = NEW) -> list[Change]:
    """The changes of one task, each from where the one before it ended."""
    changes, here = [Change(1, TASK, 1, NOW, "any", None, first)], first
    for serial, (writer, did) in enumerate(steps, start=2):
        after = replace(here, **did)
        changes.append(Change(serial, TASK, serial, NOW, writer, here, after))
        here = after
    return changes


LEGAL: dict[str, tuple[list[Did], list[Statement]]] = {
    "to its end": (TO_END, [Statement.CLAIM, Statement.INTENT, Statement.RECORD, Statement.SUCCEED]),
    "a phase, and why it waits": (
        [*TO_RUNNING, ("bob", {"version": 5, "phase": "running"}), ("any", {})],
        [Statement.OBSERVE, Statement.PUBLISH],
    ),
    "sent again": (
        [*TO_SUBMITTING, ("ann", {"sends": 2}), ("ann", {"sends": 5}), ("ann", {}), (RUNNING)],
        [Statement.RAISE_SENDS, Statement.RAISE_SENDS, Statement.PUBLISH, Statement.RECORD],
    ),
    "taken over": (
        [*TO_SUBMITTING, ("bob", {"owner": BOB, "fence": 2}), ("bob", {"sends": 2}), ("bob", RUNNING[1])],
        [Statement.TAKE_OVER, Statement.RAISE_SENDS, Statement.RECORD],
    ),
    "given back": (
        [CLAIMED, ("ann", {"state": "QUEUED", "owner": None, "version": 3})],
        [Statement.CLAIM, Statement.GIVE_BACK],
    ),
    "another try": (
        [*TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "version": 5})],
        [Statement.RETRY],
    ),
    "another try, paid by the infrastructure": (
        [*TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "cause": "lost", "faults": 1, "version": 5})],
        [Statement.RETRY],
    ),
    "over, although a try is left": (
        [*TO_RUNNING, ("bob", {"state": "FAILED", "cause": "killed", "version": 5})],
        [Statement.OVER],
    ),
    "refused": (
        [*TO_SUBMITTING, ("ann", {"state": "FAILED", "owner": None, "cause": "refused", "version": 4})],
        [Statement.REFUSE],
    ),
    "sealed": (
        [*TO_SUBMITTING, ("ann", {"sends": 2}),
         ("ann", {"state": "QUEUED", "owner": None, **OVER, "cause": "refused", "version": 4})],
        [Statement.RAISE_SENDS, Statement.SETTLE],
    ),
    "nobody can tell": (
        [*TO_SUBMITTING, ("ann", {"state": "UNKNOWN", "owner": None, "version": 4})],
        [Statement.SETTLE],
    ),
    "lost, seen again, adopted": (
        [*TO_RUNNING, ("bob", {"stopping": True, "version": 5}), ("bob", {"state": "UNKNOWN", "version": 6}),
         ("any", {"state": "RUNNING", "handle": "other", "stopping": False, "version": 7})],
        [Statement.STOP_INTENT, Statement.LOSE, Statement.OBSERVE],
    ),
    "resolved by a person, beyond the budget": (
        [*TO_UNKNOWN, ("any", {"state": "QUEUED", **OVER, "cause": "resolved", "faults": 1, "version": 6}),
         ("ann", {"state": "CLAIMED", "fence": 2, "owner": ANN, "version": 7})],
        [Statement.RESOLVE, Statement.CLAIM],
    ),
    "a policy": ([*TO_UNKNOWN, ("bob", {"state": "FAILED", "cause": "lost", "version": 6})], [Statement.RESOLVE]),
    "cancelled while it waits": (
        [("any", {"state": "CANCELLED", "cancelled": True, "kill": True, "cause": "cancelled", "version": 2})],
        [Statement.CANCEL],
    ),
    "cancelled while it runs": (
        [*TO_RUNNING, ("any", {"cancelled": True, "version": 5}), ("any", {"kill": True, "version": 6}),
         ("bob", {"stopping": True, "version": 7}), ("bob", {"state": "CANCELLED", "cause": "killed", "version": 8})],
        [Statement.CANCEL, Statement.CANCEL, Statement.STOP_INTENT, Statement.OVER],
    ),
    "put back": ([*TO_END, ("any", {"version": 5000, "fence": 1001})], [Statement.RESTORE]),
    "waited too long": ([("any", {"state": "FAILED", "cause": "timed_out", "version": 2})], [Statement.EXPIRE]),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGAL)
def test_a_path_of_the_protocol_is_named_statement_by_statement(name: str) -> None:
    steps, expected = LEGAL[name]
    judgement = judge(path(steps))
    assert not judgement.findings, str(judgement)
    assert judgement.seen[Statement.ACCEPT] == 1
    alone = judge(path(steps[: len(steps) - len(expected)])).seen
    assert judgement.seen - alone == {name: expected.count(name) for name in expected}


ILLEGAL: dict[str, list[Did]] = {
    "a terminal row is moved": [*TO_END, ("bob", {"state": "FAILED", "version": 6})],
    "a terminal row is told again": [*TO_END, ("bob", {"version": 6})],
    "a terminal row is queued again": [*TO_END, ("bob", {"state": "QUEUED", "attempt": 2, "version": 6})],
    "sent without an intent": [CLAIMED, ("ann", {**RUNNING[1], "version": 3})],
    "sent without a claim": [("ann", {"state": "SUBMITTING", "owner": ANN, "sends": 1, "version": 2})],
    "succeeded without having run": [
        *TO_SUBMITTING, ("ann", {"state": "SUCCEEDED", "owner": None, "cause": "completed", "version": 4})],
    "cancelled while a copy is on its way": [
        *TO_SUBMITTING, ("any", {"state": "CANCELLED", "owner": None, "cancelled": True, "version": 4})],
    "a claim that is only flagged": [CLAIMED, ("any", {"cancelled": True, "kill": True, "version": 3})],
    "sent after its cancel": [
        CLAIMED, ("any", {"cancelled": True, "version": 3}), ("ann", {**SUBMITTING[1], "version": 4})],
    "tried again after its cancel": [*TO_RUNNING, FLAG, ("bob", {"state": "QUEUED", **OVER, "version": 6})],
    "the cancel is forgotten": [*TO_RUNNING, FLAG, ("bob", {"cancelled": False, "version": 6})],
    "the kill is forgotten": [*TO_RUNNING, FLAG, ("bob", {"kill": False, "version": 6})],
    "the fence goes back": [
        *TO_SUBMITTING, ("bob", {"owner": BOB, "fence": 2}), ("bob", {"sends": 2, "fence": 1})],
    "claimed under the fence of before": [("ann", {**CLAIMED[1], "fence": 0})],
    "taken over under the same fence": [*TO_SUBMITTING, ("bob", {"owner": BOB})],
    "a new owner without a higher fence": [CLAIMED, ("bob", {"owner": BOB, "fence": 1})],
    "a running row has an owner": [*TO_SUBMITTING, ("ann", {"state": "RUNNING", "handle": "h", "version": 4})],
    "recorded without a handle": [*TO_SUBMITTING, ("ann", {"state": "RUNNING", "owner": None, "version": 4})],
    "a new attempt in mid-run": [*TO_RUNNING, ("bob", {"attempt": 2, "version": 5})],
    "a new attempt without an end": [*TO_UNKNOWN, ("bob", {"state": "RUNNING", "attempt": 2, "version": 6})],
    "queued again as the same attempt": [
        *TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "attempt": 1, "version": 5})],
    "an attempt is left out": [*TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "attempt": 3, "version": 5})],
    "more tries than there are": [
        *TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "version": 5}),
        ("ann", {"state": "CLAIMED", "fence": 2, "owner": ANN, "version": 6}),
        ("ann", {**SUBMITTING[1], "version": 7}), ("ann", {**RUNNING[1], "version": 8}),
        ("bob", {"state": "QUEUED", **OVER, "attempt": 3, "version": 9})],
    "put back to what it was": [*TO_RUNNING, ("any", {"version": 4, "fence": 1001})],
    "more faults than are paid for": [
        *TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "faults": 2, "version": 5})],
    "the next try keeps the handle": [
        *TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "handle": "h", "version": 5})],
    "the next try keeps the count of copies": [
        *TO_RUNNING, ("bob", {"state": "QUEUED", **OVER, "sends": 1, "version": 5})],
    "the next try keeps the stop": [
        *TO_RUNNING, ("bob", {"stopping": True, "version": 5}), ("bob", {"state": "QUEUED", **OVER, "version": 6})],
    "copies are not counted": [*TO_SUBMITTING, ("ann", {"sends": 0})],
    "fewer copies": [*TO_SUBMITTING, ("ann", {"sends": 3}), ("ann", {"sends": 2})],
    "a move without a version": [("ann", {**CLAIMED[1], "version": 1})],
    "two versions at once": [*TO_RUNNING, ("bob", {"version": 6})],
    "an end without a cause": [*TO_RUNNING, ("bob", {"state": "FAILED", "version": 5})],
    "given back after it was sent": [
        *TO_SUBMITTING, ("ann", {"state": "QUEUED", "owner": None, "sends": 0, "version": 4})],
    "expired while it runs": [CLAIMED, ("any", {"state": "FAILED", "owner": None, "cause": "timed_out", "version": 3})],
    "stopped before it was sent": [("bob", {"stopping": True, "version": 2})],
    "a stop is forgotten": [
        *TO_RUNNING, ("bob", {"stopping": True, "version": 5}), ("bob", {"stopping": False, "version": 6})],
    "a phase before it was sent": [("bob", {"phase": "running", "version": 2})],
    "the rules of its tries change": [*TO_RUNNING, ("bob", {"max_attempts": 9, "version": 5})],
}  # fmt: skip


@pytest.mark.parametrize("name", ILLEGAL)
def test_a_path_that_is_none_of_the_protocol_is_found(name: str) -> None:
    changes = path(ILLEGAL[name])
    judgement = judge(changes)
    assert judgement.findings, str(judgement)
    assert changes[-1] in [finding.change for finding in judgement.findings], str(judgement)
    assert str(TASK) in str(judgement)


def interleaved(first: str, second: str, *, recorded_by: str) -> list[Change]:
    """Two tasks claimed by one worker, around one of another's, which `recorded_by` then records."""

    def of(number: int, writer: str, owner: UUID) -> list[Change]:
        steps = [(writer, {**did, **({"owner": owner} if "owner" in did else {})}) for _, did in TO_SUBMITTING]
        return [replace(change, task_id=UUID(int=number)) for change in path(steps)]

    hers = of(1, first, ANN)
    his = of(2, second, BOB)
    again = of(3, first, ANN)
    last = his[-1].after
    assert last is not None
    recorded = Change(0, UUID(int=2), 0, NOW, recorded_by, last, replace(last, **RUNNING[1]))
    begun = [his[0], *hers, *his[1:], *again]
    turns = [*begun, *[replace(change, task_id=UUID(int=4)) for change in his], recorded]
    return [replace(change, serial=serial) for serial, change in enumerate(turns, start=1)]


def test_a_record_by_another_than_the_owners_process_is_found() -> None:
    """A fence that is not checked: the row itself looks right."""
    [finding] = judge(interleaved("ann", "bob", recorded_by="ann")).findings
    assert finding.why == "record by another than the owner's process"
    for own in (("ann", "bob", "bob"), ("ann", "bob", "a session that took nothing")):
        assert not judge(interleaved(own[0], own[1], recorded_by=own[2])).findings


def test_a_process_that_took_a_new_id_is_not_taken_for_two() -> None:
    first = path([*TO_SUBMITTING, ("late", RUNNING[1])])
    second = path([("late", {**CLAIMED[1], "owner": BOB})])
    turns = [*first[:-1], *[replace(change, task_id=UUID(int=2)) for change in second], first[-1]]
    changes = [replace(change, serial=serial) for serial, change in enumerate(turns, start=1)]
    assert not judge(changes).findings


def test_a_task_that_begins_in_the_middle_is_deleted_or_jumps_is_found() -> None:
    begun = path([])
    middle = path([], first=replace(NEW, state="RUNNING", version=4))
    deleted = [*begun, Change(2, TASK, 2, NOW, "any", NEW, None)]
    jumped = [*begun, Change(2, TASK, 2, NOW, "any", replace(NEW, fence=4), replace(NEW, fence=4))]
    findings = [judge(changes).findings[0].why for changes in (middle, deleted, jumped)]
    assert findings == [
        "a task began in the middle", "a task was deleted", "it does not begin where the change before it ended",
    ]  # fmt: skip


def test_no_single_change_of_the_state_is_legal_twice_over() -> None:
    """Whatever state a row is moved to by hand, with nothing else changed, it is found: each move does more."""
    states = ["QUEUED", "CLAIMED", "SUBMITTING", "RUNNING", *TERMINAL]
    for steps in ([CLAIMED], TO_SUBMITTING, TO_RUNNING):
        here = path(steps)[-1].after
        assert here is not None
        for state in states:
            if state != here.state:
                assert judge(path([*steps, ("any", {"state": state})])).findings, f"{here.state} → {state}"
