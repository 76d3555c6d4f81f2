"""The rules of a task's life, pure: what an observation means, who pays for another try, when, and why a task waits.

The parts of a decision that two processes could race for (the cancel flag, how many attempts were used) are not here:
they are a CASE in the statement that writes the row (`store/over.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from signalbox_contracts.definitions.rules import OnUnknown, Retries
from signalbox_contracts.messages.plans import Waiting, WaitReason
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TaskState
from signalbox_executor.engines.port import ENDS, Observation


class Budget(StrEnum):
    """Who pays for another try."""

    ATTEMPT = "attempt"
    """The user's `max_attempts`."""
    INFRASTRUCTURE = "infrastructure"
    """The budget of faults that are not the work's: it does not use up attempts."""
    NONE = "none"
    """Nobody: trying again changes nothing, or nobody wants it."""


class Outcome(StrEnum):
    """What a look at a run says about its task."""

    RUNNING = "running"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    OVER = "over"
    """The attempt ended without success; what follows is decided in the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A task's attempt as its row had it before the engine was asked."""

    state: TaskState
    phase: Phase | None
    attempt: int
    infrastructure_faults: int
    retries: Retries
    on_unknown: OnUnknown
    stop_cause: str | None = None
    patience_over: bool = False
    """It has been UNKNOWN for longer than an engine may need to see it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be written of an observation."""

    outcome: Outcome
    phase: Phase
    cause: EndCause | None = None
    budget: Budget = Budget.NONE
    delay_seconds: float = 0.0
    reason: str = ""


_RETRYABLE: Final = {EndCause.FAILED: "failed", EndCause.TIMED_OUT: "timed_out", EndCause.LOST: "lost"}


def budget(cause: EndCause, exit_code: int | None, retries: Retries) -> Budget:
    """Who pays for another try after this end. Refusals, kills and cancels are never tried again."""
    if cause is EndCause.INFRASTRUCTURE:
        return Budget.INFRASTRUCTURE
    if _RETRYABLE.get(cause) not in retries.retry_on:
        return Budget.NONE
    if cause is EndCause.LOST:
        return Budget.INFRASTRUCTURE
    codes = retries.retry_on_exit_codes
    if cause is EndCause.FAILED and codes is not None and exit_code is not None and exit_code not in codes:
        return Budget.NONE
    return Budget.ATTEMPT


def retry_delay(tries: int, retries: Retries, *, chance: float) -> float:
    """Seconds before the next try after `tries` of the same kind: full jitter, between 0 and the doubled delay.

    `chance` is in [0, 1); the bound is `delay_seconds`, doubled by each try, and never above `max_delay_seconds`.
    """
    return chance * min(retries.max_delay_seconds, retries.delay_seconds * 2.0 ** min(tries - 1, 40))


def judge(run: Run, seen: Observation, *, chance: float) -> Verdict | None:
    """What an observation changes; None if nothing."""
    if seen.phase is Phase.LOST:
        return _lost(run, chance)
    if seen.phase is Phase.SUCCEEDED:
        return Verdict(outcome=Outcome.SUCCEEDED, phase=seen.phase, cause=EndCause.COMPLETED)
    if seen.phase in ENDS:
        cause = EndCause.TIMED_OUT if run.stop_cause == "timed_out" else seen.cause or EndCause.FAILED
        return _over(run, seen.phase, cause, seen.exit_code, _ended(cause, seen), chance)
    if run.state is TaskState.RUNNING and run.phase is seen.phase:
        return None
    return Verdict(outcome=Outcome.RUNNING, phase=seen.phase, reason=f"the engine says {seen.phase.value}")


def _lost(run: Run, chance: float) -> Verdict | None:
    """Not found is UNKNOWN, never by itself the end: the policy decides, and only after a while."""
    if run.state is not TaskState.UNKNOWN:
        return Verdict(outcome=Outcome.UNKNOWN, phase=Phase.LOST, reason="the engine does not know the run")
    if run.on_unknown == "hold" or not run.patience_over:
        return None
    said = f"the engine does not know the run; policy {run.on_unknown}"
    if run.on_unknown == "retry":
        return _over(run, Phase.LOST, EndCause.LOST, None, said, chance)
    return Verdict(outcome=Outcome.OVER, phase=Phase.LOST, cause=EndCause.LOST, reason=said)


def _over(run: Run, phase: Phase, cause: EndCause, exit_code: int | None, reason: str, chance: float) -> Verdict:
    pays = budget(cause, exit_code, run.retries)
    faults = run.infrastructure_faults
    tries = faults + 1 if pays is Budget.INFRASTRUCTURE else run.attempt - faults
    delay = retry_delay(max(tries, 1), run.retries, chance=chance) if pays is not Budget.NONE else 0.0
    return Verdict(
        outcome=Outcome.OVER, phase=phase, cause=cause, budget=pays, delay_seconds=delay, reason=reason[:2000]
    )


def _ended(cause: EndCause, seen: Observation) -> str:
    code = f", exit code {seen.exit_code}" if seen.exit_code is not None else ""
    said = f": {seen.message}" if seen.message else ""
    return f"{cause.value.replace('_', ' ')}{code}{said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What stands before the queued tasks of one plan on one engine. None for what has not been heard of."""

    engine_id: str
    engine_known: bool
    definitions_revision: int
    intake: str = "open"
    breaker_since_at: datetime | None = None
    probe_at: datetime | None = None
    engine_limit: int = 0
    engine_active: int = 0
    engine_tokens: float = 1.0
    rules_known: bool = False
    held: bool = False
    held_reason: str = ""
    plan_limit: int | None = None
    plan_active: int = 0
    plan_tokens: float = 1.0
    canary_first: int | None = None
    plan_started: int = 0
    plan_ended: int = 0


def why_waiting(queue: Queue, *, not_before: datetime | None, now: datetime) -> Waiting | None:
    """The first thing that keeps a queued task from being claimed; None if it is next.

    `not_before` is given only while it lies ahead.
    """
    holder = f"engine:{queue.engine_id}"
    for applies, why, detail, until in (
        (not queue.rules_known, WaitReason.RULES_NOT_SEEN, "the plan's rules have not arrived", None),
        (queue.held, WaitReason.PLAN_PAUSED, queue.held_reason, None),
        (not queue.engine_known, WaitReason.DEFINITION_NOT_SEEN, _not_seen(queue), None),
        (queue.intake != "open", WaitReason.ENGINE_PAUSED, f"{queue.engine_id} is {queue.intake}", None),
        (queue.breaker_since_at is not None, WaitReason.BREAKER_OPEN, f"{queue.engine_id} does not answer",
         queue.probe_at),
        (not_before is not None, WaitReason.RETRY_DELAY, "not before its time", not_before),
        (_canary(queue), WaitReason.CANARY, f"the first {queue.canary_first} are tried alone", None),
        (_full(queue.plan_active, queue.plan_limit), WaitReason.PLAN_LIMIT, _holds(queue.plan_active, queue.plan_limit),
         None),
        (_full(queue.engine_active, queue.engine_limit), WaitReason.ENGINE_LIMIT,
         _holds(queue.engine_active, queue.engine_limit), None),
        (min(queue.engine_tokens, queue.plan_tokens) < 1, WaitReason.START_RATE, "starts per minute are used up", None),
    ):  # fmt: skip
        if applies:
            ours = why in (WaitReason.RULES_NOT_SEEN, WaitReason.PLAN_PAUSED, WaitReason.CANARY, WaitReason.PLAN_LIMIT)
            return Waiting(why=why, holder="plan" if ours else holder, since_at=now, until_at=until, detail=detail)
    return None


def _not_seen(queue: Queue) -> str:
    return f"engine definition {queue.engine_id} of r{queue.definitions_revision} not seen yet"


def _canary(queue: Queue) -> bool:
    first = queue.canary_first
    return first is not None and queue.plan_ended < first <= queue.plan_started


def _full(active: int, limit: int | None) -> bool:
    return limit is not None and active >= limit


def _holds(active: int, limit: int | None) -> str:
    return f"{active} of {limit} slots are taken"
