"""The table of deaths: the sixteen of the protocol, and those of the two leases.

A row's number is the protocol's; `W` are points of the worker's lease, `E` of the engine's, `S` of stops.
"""

from dataclasses import dataclass, field

from engines.harness import EngineHarness, WorkRequest
from signalbox_contracts.states import TaskState
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.registry import KINDS
from support.crash_points.kill_methods import (
    LOST_ANSWER,
    QUEUED,
    RUNNING,
    SUBMITTING,
    UNDER_WAY,
    Way,
    cancelled_in_mid_submit,
    claimed_by_hand,
    forgotten,
    frozen_in_mid_submit,
    killed,
    killed_before_it_is_sent,
    observer_frozen,
)
from support.crash_points.postgres import postgres_dies
from support.crash_points.scene import After, Found

SUCCEEDED, FAILED, CANCELLED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED
UNKNOWN = TaskState.UNKNOWN
ENDLESS = WorkRequest(endless=True)
FAILS = WorkRequest(exit_code=3)


@dataclass(frozen=True)
class Point:
    """One row: which, where, how it is brought about and found, and what must be true in the end."""

    number: str
    where: str
    way: Way
    after: After = field(default_factory=After)
    own_topics: bool = False
    """Nothing else may be on its topics."""
    own_postgres: bool = False
    """Its PostgreSQL is killed."""
    another: bool = True
    """Another executor is started afterwards; else the one that lives goes on."""
    sealing: bool | None = None
    """Whether it is about engines that can seal a key (True), those that cannot (False), or all."""

    def __str__(self) -> str:
        return f"{self.number} {self.where}"

    def concerns(self, kind: type[EngineHarness]) -> bool:
        return self.sealing in (None, Capability.SEALS in KINDS[kind.kind].capabilities)


POINTS = [
    Point(
        "1", "before the accept commit", killed(("executor.accepting", Found(None)), by_message=True), own_topics=True
    ),
    Point(
        "2",
        "after the accept commit, before the offset commit",
        killed(("settle.applied", Found(QUEUED)), by_message=True),
        own_topics=True,
    ),
    Point("3", "inside the claim transaction", killed(("executor.claiming", Found(QUEUED)))),
    Point("4", "after the claim, before the intent", killed(("executor.claimed", Found(QUEUED)))),
    Point("4", "the claim committed alone", claimed_by_hand),
    Point(
        "5",
        "after intent, before the request leaves",
        killed(("executor.after_intent", Found(SUBMITTING, sends=1, fence=1))),
    ),
    Point(
        "5",
        "the copy of a take-over counted, before it leaves",
        killed(
            ("executor.after_intent", Found(SUBMITTING, sends=1)),
            ("executor.counted", Found(SUBMITTING, sends=2, fence=2)),
        ),
    ),
    Point(
        "6",
        "request in flight, it arrives later",
        killed(
            (UNDER_WAY, Found(SUBMITTING, sends=1)),
            work=WorkRequest(late=True),
            SIGNALBOX_ENGINE_TIMEOUT_SECONDS="2",
        ),
    ),
    Point(
        "7",
        "engine accepted, answer lost",
        killed((LOST_ANSWER, Found(SUBMITTING, starts=None)), work=WorkRequest(answer_is_lost=True)),
    ),
    Point("8", "after the answer, before the record", killed(("executor.before_record", Found(SUBMITTING, None)))),
    Point("8", "inside the record's transaction", killed(("executor.recording", Found(SUBMITTING, None)))),
    Point(
        "8",
        "refused for good, not yet written",
        killed(("executor.refused", Found(SUBMITTING, sends=1)), work=WorkRequest(refused=True)),
        After(FAILED, (0,)),
        sealing=True,
    ),
    Point(
        "8",
        "refused for good, not yet written: refused again, an earlier copy may arrive",
        killed(("executor.refused", Found(SUBMITTING, sends=1)), work=WorkRequest(refused=True)),
        After(UNKNOWN, (0,), published=0),
        sealing=False,
    ),
    Point("9", "recorded, not yet watched", killed(("executor.recorded", Found(RUNNING, None)))),
    Point(
        "9",
        "while watching",
        killed(("executor.watching", Found(RUNNING, None))),
    ),
    Point("10", "seen, before the finish", killed(("executor.seen", Found(RUNNING, None)))),
    Point("10", "run finished, inside the finish transaction", killed(("executor.ending", Found(RUNNING, 1)))),
    Point(
        "10",
        "attempt failed, inside the transaction that queues the next",
        killed(("executor.ending", Found(RUNNING, 1)), work=FAILS, attempts=2),
        After(FAILED, (1, 1)),
    ),
    Point(
        "11",
        "after the finish commit, before the relay sends",
        killed_before_it_is_sent("executor.finished", Found(SUCCEEDED, 1, unsent=True, published=0)),
    ),
    Point(
        "11",
        "after the commit that queues the next attempt",
        killed_before_it_is_sent(
            "executor.finished", Found(QUEUED, 1, attempt=2, unsent=True, published=0), attempts=2, exit_code=3
        ),
        After(FAILED, (1, 1)),
    ),
    Point(
        "12",
        "sent, before it is marked as sent",
        killed_before_it_is_sent("relay.sent", Found(SUCCEEDED, 1, unsent=True, published=1)),
        After(published=2),
    ),
    Point(
        "12",
        "marked as sent",
        killed_before_it_is_sent("relay.marked", Found(SUCCEEDED, 1, unsent=False, published=1)),
    ),
    Point("13", "paused past its lease, then wakes", frozen_in_mid_submit(), another=False),
    Point(
        "13",
        "paused past its lease, dies as it drops its tasks",
        frozen_in_mid_submit("executor.lease_lost"),
        another=False,
    ),
    Point(
        "14",
        "PostgreSQL dies at the commit of the intent, which is done",
        postgres_dies("intent", Found(SUBMITTING, sends=1)),
        After(CANCELLED),
        own_postgres=True,
        another=False,
    ),
    Point(
        "14",
        "PostgreSQL dies at the commit of the record, which is done",
        postgres_dies("record", Found(RUNNING, 1)),
        After(CANCELLED),
        own_postgres=True,
        another=False,
    ),
    Point(
        "14",
        "PostgreSQL dies before the commit of the record",
        postgres_dies("record", Found(SUBMITTING, 1, sends=1), committed=False),
        After(CANCELLED),
        own_postgres=True,
        another=False,
    ),
    Point("15", "cancel while the submit is under way", cancelled_in_mid_submit, After(CANCELLED), another=False),
    Point(
        "15",
        "cancelled after a death before the request left, the key is sealed",
        killed(("executor.after_intent", Found(SUBMITTING)), cancel_after=1),
        After(CANCELLED, (0,)),
        sealing=True,
    ),
    Point(
        "15",
        "cancelled after a death before the request left, the run is started and stopped",
        killed(("executor.after_intent", Found(SUBMITTING)), work=ENDLESS, cancel_after=1),
        After(CANCELLED, may_not_begin=True),
        sealing=False,
    ),
    Point(
        "15",
        "cancelled, sealed, not yet written",
        killed(("executor.after_intent", Found(SUBMITTING)), ("executor.sealed", Found(SUBMITTING)), cancel_after=1),
        After(CANCELLED, (0,)),
        sealing=True,
    ),
    Point(
        "15",
        "cancelled after a death before the record, the run is adopted and stopped",
        killed(("executor.before_record", Found(SUBMITTING, None)), work=ENDLESS, cancel_after=1),
        After(CANCELLED),
    ),
    Point("16", "engine loses its memory of the key", forgotten, After(FAILED)),
    Point(
        "W1",
        "the worker's lease renewed",
        killed(("executor.renewed:5", Found(SUBMITTING)), work=WorkRequest(late=True)),
    ),
    Point(
        "W2",
        "inside a take-over",
        killed(
            ("executor.after_intent", Found(SUBMITTING)), ("executor.taking_over", Found(SUBMITTING, sends=1, fence=1))
        ),
    ),
    Point(
        "W3",
        "after a take-over",
        killed(
            ("executor.after_intent", Found(SUBMITTING)), ("executor.taken_over", Found(SUBMITTING, sends=1, fence=2))
        ),
    ),
    Point("E1", "the engine's lease acquired, before the commit", killed(("executor.acquiring", Found(RUNNING, None)))),
    Point(
        "E2",
        "the engine's lease renewed by a pass, before the commit",
        killed(("executor.acquiring:3", Found(RUNNING, None)), work=ENDLESS, cancel_after=1),
        After(CANCELLED),
    ),
    Point("E3", "the holder of the engine paused past its lease", observer_frozen, After(CANCELLED), another=False),
    Point(
        "S1",
        "between the intent to stop and the stop",
        killed(
            ("executor.recorded", Found(RUNNING, None)),
            ("executor.stop_intended", Found(RUNNING, None, stopping=True)),
            work=ENDLESS,
            cancel_after=1,
        ),
        After(CANCELLED),
    ),
    Point(
        "S2",
        "after the stop, before its run is seen ended",
        killed(
            ("executor.recorded", Found(RUNNING, None)),
            ("executor.stop_sent", Found(RUNNING, None, stopping=True)),
            work=ENDLESS,
            cancel_after=1,
        ),
        After(CANCELLED),
    ),
    Point(
        "S3",
        "after the stop of a run whose time limit passed, before it is seen ended",
        killed(
            ("executor.recorded", Found(RUNNING, None)),
            ("executor.stop_sent", Found(RUNNING, None, stopping=True)),
            work=ENDLESS,
            overdue_after=1,
        ),
        After(FAILED),
    ),
]
