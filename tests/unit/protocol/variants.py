"""The variants: the protocol as designed, what it could have been instead, and the verdict each must have."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .invariants import Breach
from .model import Model, model

SAFE = None
World = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    chapter: str
    name: str
    model: Model
    expected: Breach | None


VARIANTS: list[Variant] = []


def named(variant: Variant) -> str:
    return f"{variant.chapter}: {variant.name}"


def variant(
    chapter: str,
    name: str,
    expected: Breach | None,
    *,
    without: Iterable[str] | str = (),
    plus: Iterable[str] | str = (),
    **changes: Any,
) -> None:
    without = without.split() if isinstance(without, str) else without
    plus = plus.split() if isinstance(plus, str) else plus
    VARIANTS.append(Variant(chapter, name, model(without=without, plus=plus, **changes), expected))


TWO: World = {"workers": 2}
CROWD: World = {"tasks": 2, "limit": 1, "workers": 2}
APART: World = {"tasks": 2, "engines": 2, "limit": 1, "workers": 2, "attempts": 1, "cancels": False}
HARSH: World = {"twins": True, "gives_back": True, "workers": 2}
"""A slow old coroutine of the same worker; claims given back."""
WAITS: World = {"unknown_may_wait": True, "unknown_may_be_false": True}
STALE: World = {"stale_answers": True, **WAITS}
CROWD_OF_THREE: World = {**CROWD, "workers": 3, "attempts": 1}
CROWD_UNSURE: World = {**CROWD, **STALE, "attempts": 1}
ONCE: World = {"copies_repeat": False, "workers": 2}
NO_IDENTITY: World = {"key_per_send": True, "start_fence": True, "workers": 2}
FENCES = "intent.fence record.fence"
OWNERS = "intent.owner record.owner"
LEASES = "intent.lease record.lease"

COMPLETE = "The whole"
variant(COMPLETE, "the protocol as designed", SAFE)
variant(COMPLETE, "as designed, nothing reduced", SAFE, reduce=False, **TWO)
variant(COMPLETE, "as designed, two tasks, limit 1", SAFE, **CROWD)
variant(COMPLETE, "as designed, two tasks, limit 1, three workers", SAFE, **CROWD_OF_THREE)
variant(COMPLETE, "as designed, slow twins, claims given back", SAFE, **HARSH)
variant(COMPLETE, "as designed, copies arrive once or get lost and are re-sent", SAFE, **ONCE)
variant(COMPLETE, "as designed, time passes between rows and engine", SAFE, looks_twice=True)

CLAIM = "Claim and leases"
variant(CLAIM, "the claim does not look at its own worker row", Breach.STUCK, without="claim.own_row", **TWO)
variant(CLAIM, "the claim looks at its worker row without a lock", Breach.STUCK, without="claim.own_row_lock", **TWO)
variant(
    CLAIM,
    "same, but take-over sweeps every owner that is not live",
    SAFE,
    without="claim.own_row_lock",
    sweep_dead_owners=True,
    **TWO,
)
variant(CLAIM, "the claim's UPDATE does not check QUEUED", Breach.TERMINAL_CHANGED, without="claim.state", **TWO)
variant(CLAIM, "claims of one engine not serialised", Breach.LIMIT, without="claim.group_lock", **CROWD)
variant(CLAIM, "UNKNOWN not counted", Breach.LIMIT, without="claim.unknown_counts", **CROWD_UNSURE)
variant(CLAIM, "UNKNOWN counted", SAFE, **CROWD_UNSURE)
variant(CLAIM, "no self-sweep", Breach.STUCK, without="sweep", **TWO)
variant(CLAIM, "take-over by a worker that is itself dead", Breach.STUCK, without="takeover.live")
variant(CLAIM, "take-over from a worker that is live", SAFE, without="takeover.expired", **TWO)
variant(CLAIM, "dead worker row can be renewed", SAFE, without="renew.not_dead", **HARSH)
variant(
    CLAIM,
    "same, writes check the owner instead of the fence",
    Breach.ORPHAN,
    without=f"renew.not_dead {FENCES}",
    plus=OWNERS,
    **TWO,
)
variant(
    CLAIM,
    "same, writes check owner and lease instead of the fence",
    Breach.ORPHAN,
    without=f"renew.not_dead {FENCES}",
    plus=f"{OWNERS} {LEASES}",
    **TWO,
)
variant(CLAIM, "take-over does not mark dead", SAFE, without="takeover.marks_dead")
variant(
    CLAIM,
    "take-over does not mark dead, an expired lease can be renewed",
    SAFE,
    without="takeover.marks_dead renew.not_expired",
)
variant(
    CLAIM,
    "same, and writes check the owner instead of the fence",
    Breach.ORPHAN,
    without=f"takeover.marks_dead renew.not_expired {FENCES}",
    plus=OWNERS,
    **TWO,
)

LIMITS = "Limits changed while running"
DIAL: World = {"tasks": 2, "workers": 2, "attempts": 1, "dial": (2, 0, 1), "cancels": False}
variant(LIMITS, "rules arrive late, repeated, out of order", SAFE, **DIAL)
variant(LIMITS, "a limit read before the plan row was locked", Breach.LIMIT, without="claim.fresh_limit", **DIAL)
variant(LIMITS, "rules written over newer ones", Breach.LIMIT, without="rules.version", **DIAL)
variant(LIMITS, "rows of the plan counted without the plan's lock", Breach.LIMIT, without="claim.plan_lock", **DIAL)
DIAL_UNSURE: World = {**DIAL, **STALE, "dial": (2, 1)}
variant(LIMITS, "limit changed, UNKNOWN not counted", Breach.LIMIT, without="claim.unknown_counts", **DIAL_UNSURE)
variant(LIMITS, "limit changed, UNKNOWN counted", SAFE, **DIAL_UNSURE)

ENGINES = "Several engines"
variant(ENGINES, "two engines, a limit and a lease each", SAFE, **APART)
variant(ENGINES, "two engines, one plan with limit 1", SAFE, dial=(1,), **APART)
variant(ENGINES, "same, only each group's lock", Breach.LIMIT, without="claim.plan_lock", dial=(1,), **APART)
variant(ENGINES, "two engines, one is silent for ever", SAFE, silent=True, **APART)
variant(
    ENGINES,
    "same, one lease and one pass for both",
    Breach.STUCK,
    without="lease.per_engine",
    silent=True,
    **APART,
)
variant(
    ENGINES,
    "same, an engine's limit counts all engines' rows",
    Breach.STUCK,
    without="claim.per_engine",
    silent=True,
    **APART,
)

WRITES = "Guards of the worker's writes"
variant(WRITES, "state only", Breach.ORPHAN, without=FENCES, **TWO)
variant(WRITES, "fence only", Breach.TERMINAL_CHANGED, without="intent.state record.state", **TWO)
variant(WRITES, "intent does not check the state", Breach.TERMINAL_CHANGED, without="intent.state", **TWO)
variant(WRITES, "record does not check the state", SAFE, without="record.state", **TWO)
variant(
    WRITES,
    "record does not check the state, slow twin",
    Breach.TERMINAL_CHANGED,
    without="record.state",
    twins=True,
    **TWO,
)
variant(WRITES, "intent does not check the fence", SAFE, without="intent.fence", **HARSH)
variant(WRITES, "record does not check the fence", Breach.ORPHAN, without="record.fence", **HARSH)
variant(WRITES, "state and owner", SAFE, without=FENCES, plus=OWNERS)
variant(WRITES, "state and owner, slow twin", Breach.ORPHAN, without=FENCES, plus=OWNERS, twins=True, **TWO)
variant(
    WRITES, "state and owner, claims given back", Breach.ORPHAN, without=FENCES, plus=OWNERS, gives_back=True, **TWO
)
variant(
    WRITES,
    "state, owner and lease, slow twin",
    Breach.ORPHAN,
    without=FENCES,
    plus=f"{OWNERS} {LEASES}",
    twins=True,
    **TWO,
)
variant(WRITES, "state and attempt", SAFE, without=FENCES, plus="intent.attempt record.attempt", **HARSH)
variant(WRITES, "state, fence, owner and lease", SAFE, plus=f"{OWNERS} {LEASES}", **HARSH)
variant(WRITES, "fence raised at claim only, not at take-over", SAFE, without="takeover.raises_fence", **HARSH)
variant(WRITES, "give-back does not check the fence", SAFE, without="give_back.fence", **HARSH)
variant(WRITES, "give-back does not check the state", Breach.STARTED_AFTER_CANCEL, without="give_back.state", **HARSH)
variant(WRITES, "the fence is in the run key", Breach.TWO_RUNS, key_per_send=True, cancels=False, **TWO)
variant(WRITES, "look-up says not found: new attempt", Breach.ORPHAN, new_attempt_on_lookup=True, cancels=False, **TWO)
variant(
    WRITES,
    "read literally: no own row, no self-sweep, CLAIMED only flagged, observation by engine fence only",
    Breach.ORPHAN,
    without="claim.own_row sweep cancel.claimed observation.state observation.attempt",
    **TWO,
)

LOOKING = "Observation"
variant(LOOKING, "state and attempt, no engine fence", SAFE, without="observation.engine_fence", **TWO)
variant(LOOKING, "engine fence and state, no attempt", Breach.ORPHAN, without="observation.attempt", **TWO)
variant(LOOKING, "engine fence and attempt, no state", SAFE, without="observation.state", **TWO)
variant(
    LOOKING,
    "same, engine answers from the past, and a person decides",
    Breach.TERMINAL_CHANGED,
    without="observation.state",
    unknown="person",
    **STALE,
    **TWO,
)
variant(
    LOOKING,
    "attempt only, engine answers from the past",
    Breach.TERMINAL_CHANGED,
    without="observation.state observation.engine_fence",
    **STALE,
    **TWO,
)
variant(LOOKING, "state only", Breach.ORPHAN, without="observation.attempt observation.engine_fence", **TWO)
variant(LOOKING, "engine first, not found is UNKNOWN", Breach.FALSE_UNKNOWN, without="observe.rows_first", **TWO)
variant(
    LOOKING,
    "engine first, not found is over",
    Breach.TWO_RUNS,
    without="observe.rows_first",
    not_found="over",
    cancels=False,
    **TWO,
)
variant(
    LOOKING,
    "engine answers from the past, not found is over",
    Breach.TWO_RUNS,
    stale_answers=True,
    not_found="over",
    cancels=False,
    **TWO,
)
variant(LOOKING, "engine answers from the past, not found is UNKNOWN", SAFE, **STALE)
variant(
    LOOKING, "same, not found is UNKNOWN, no engine fence", SAFE, without="observation.engine_fence", **STALE, **TWO
)
variant(
    LOOKING,
    "same, time passes between rows and engine, no engine fence",
    SAFE,
    without="observation.engine_fence",
    looks_twice=True,
    **STALE,
    **TWO,
)
variant(LOOKING, "retry decided on a flag read earlier", Breach.STARTED_AFTER_CANCEL, without="over.row_decides", **TWO)
variant(LOOKING, "an observer hangs, its lease runs out by itself", SAFE, hangs=True)
variant(
    LOOKING,
    "an observer hangs, its lease ends with its worker's",
    Breach.STUCK,
    without="lease.own_end",
    hangs=True,
    **TWO,
)

CANCELS = "Cancel"
variant(CANCELS, "CLAIMED only flagged, the intent refuses", Breach.STUCK, without="cancel.claimed", **TWO)
variant(CANCELS, "cancel reads the state, then writes", Breach.ORPHAN, without="cancel.one_statement", **TWO)
variant(CANCELS, "SUBMITTING: CANCELLED at once", Breach.ORPHAN, cancel_submitting="at once", **TWO)
variant(CANCELS, "SUBMITTING: CANCELLED when not found", Breach.ORPHAN, cancel_submitting="not found", **TWO)
variant(CANCELS, "SUBMITTING: sealed, or adopted if the key exists", SAFE, cancel_submitting="seal")
variant(CANCELS, "RUNNING: CANCELLED when the stop is sent", Breach.ORPHAN, without="cancel.seen_terminal", **TWO)
DELETES: World = {**ONCE, "stop_deletes": True}
variant(
    CANCELS,
    "stop deletes the run, not found is over",
    Breach.ORPHAN,
    not_found="over",
    unknown_may_be_false=True,
    **DELETES,
)
variant(CANCELS, "stop deletes the run, not found is UNKNOWN", SAFE, **DELETES, **WAITS)

HARD = "Engines that forget, reject, or cannot tell apart"
FORGETS: World = {**ONCE, "forgets": True}
REJECTS: World = {**ONCE, "rejects": True}
variant(HARD, "the engine forgets while copies are under way", Breach.TWO_RUNS, **FORGETS, **WAITS)
variant(HARD, "same with a start fence", SAFE, start_fence=True, **FORGETS, **WAITS)
variant(
    HARD,
    "same, RUNNING not found is over",
    Breach.FALSE_END,
    start_fence=True,
    not_found="over",
    unknown_may_be_false=True,
    **FORGETS,
)
variant(HARD, "a rejection ends the attempt", Breach.ORPHAN, without="rejected.single", **REJECTS)
variant(HARD, "a rejection ends it only if one copy was sent", SAFE, **REJECTS, **WAITS)
variant(HARD, "same, re-sends not counted", Breach.ORPHAN, without="resend.counted", **REJECTS, **WAITS)
variant(HARD, "same, re-send does not check the state", SAFE, without="resend.state", **REJECTS, **WAITS)
variant(HARD, "same, re-send does not check the fence", SAFE, without="resend.fence", **REJECTS, **WAITS)
variant(HARD, "same, re-send checks neither", SAFE, without="resend.state resend.fence", **REJECTS, **WAITS)
variant(
    HARD,
    "same, otherwise sealed",
    SAFE,
    unknown="seal",
    cancel_submitting="seal",
    unknown_may_be_false=True,
    **REJECTS,
)
variant(HARD, "no identity, start fence, the winner's handle", SAFE, **NO_IDENTITY)
variant(HARD, "same, sealed in the start fence on cancel", SAFE, cancel_submitting="seal", **NO_IDENTITY)
variant(
    HARD,
    "same, sealed, but a losing copy's answer is recorded",
    Breach.STUCK,
    without="fence.sealed_wins",
    cancel_submitting="seal",
    **NO_IDENTITY,
)
variant(HARD, "same, each copy's own handle", Breach.FALSE_UNKNOWN, without="fence.winner", **NO_IDENTITY)
variant(HARD, "same, the loser's exit read as success", SAFE, without="fence.loser_told", **NO_IDENTITY)
variant(HARD, "same, both wrong", Breach.FALSE_SUCCESS, without="fence.loser_told fence.winner", **NO_IDENTITY)

POLICY = "What becomes of UNKNOWN"
variant(POLICY, "hold: it waits, and heals when the engine answers", SAFE, **STALE, **TWO)
variant(POLICY, "fail", Breach.ORPHAN, unknown="fail", **STALE, **TWO)
variant(POLICY, "retry", Breach.TWO_RUNS, unknown="retry", cancels=False, **STALE, **TWO)
variant(
    POLICY,
    "retry, with a start fence",
    Breach.TWO_RUNS,
    unknown="retry",
    start_fence=True,
    cancels=False,
    **FORGETS,
    **WAITS,
)
variant(POLICY, "sealed, or else it waits", SAFE, unknown="seal", start_fence=True, **FORGETS, **WAITS)
variant(POLICY, "a person's word on one attempt", SAFE, unknown="person", **STALE, **TWO)
variant(
    POLICY,
    "a person's word on the task",
    Breach.ORPHAN,
    without="resolve.attempt",
    unknown="person",
    **STALE,
    **TWO,
)

BUILT = "As the executor does it"
JOINED: World = {"claim_intends": True, "workers": 2}
LATE: World = {"deadlines": True, "workers": 2, **WAITS}
variant(BUILT, "claim and intent in one transaction", SAFE, claim_intends=True)
variant(BUILT, "same, slow twins, claims given back", SAFE, claim_intends=True, **HARSH)
variant(BUILT, "same, the intent checks nothing", SAFE, without="intent.state intent.fence", **JOINED)
variant(BUILT, "same, a cancel only flags CLAIMED", SAFE, without="cancel.claimed", **JOINED)
variant(BUILT, "same, no self-sweep", Breach.STUCK, without="sweep", **JOINED)
variant(
    BUILT, "same, the claim looks at its worker row without a lock", Breach.STUCK,
    without="claim.own_row_lock", **JOINED,
)  # fmt: skip
variant(
    BUILT, "same, the claim's UPDATE does not check QUEUED", Breach.TERMINAL_CHANGED, without="claim.state", **JOINED
)
variant(BUILT, "time limits end, stop and give up", SAFE, **LATE)
variant(BUILT, "a time limit ends what no longer waits", Breach.ORPHAN, without="expire.state", **LATE)
variant(BUILT, "no identity, never asked twice", SAFE, asks_twice=False, key_per_send=True, **ONCE, **WAITS)
variant(BUILT, "no identity, asked twice", Breach.TWO_RUNS, key_per_send=True, **ONCE, **WAITS)
variant(
    BUILT, "one transaction, time limits, seals, dead owners swept", SAFE,
    claim_intends=True, cancel_submitting="seal", sweep_dead_owners=True, **LATE,
)  # fmt: skip
