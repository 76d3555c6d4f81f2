"""The lifecycle of a task, pure: what an observation means, which budget pays for a retry, and why a task waits.

The parts of a decision that two processes could race for (the cancel flag, how many attempts were used) are not here:
they are a CASE in the statement that writes the row (`store/finish.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from signalbox_contracts.definitions.rules import OnUnknown, Retries
from signalbox_contracts.messages.operations import TaskResolveData
from signalbox_contracts.messages.plans import Waiting, WaitReason
from signalbox_contracts.messages.states import EngineRecord
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
    stop_given_up: bool = False
    """It was asked to stop for as long as it may take: if it is UNKNOWN, then because it still runs."""
    linked: bool = True
    """Its row has the engine's page of the run."""
    stranded: bool = False
    """Its row says that no executor could look at it: one just did."""


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
        return _lost(run, seen, chance)
    if seen.phase is Phase.SUCCEEDED:
        return Verdict(outcome=Outcome.SUCCEEDED, phase=seen.phase, cause=EndCause.COMPLETED)
    if seen.phase in ENDS:
        cause = EndCause.TIMED_OUT if run.stop_cause == "timed_out" else seen.cause or EndCause.FAILED
        return _over(run, seen.phase, cause, seen.exit_code, _ended(cause, seen), chance)
    new_link = seen.handle_url is not None and not run.linked
    if run.state is TaskState.RUNNING and run.phase is seen.phase and not run.stranded and not new_link:
        return None
    if run.state is TaskState.UNKNOWN and run.stop_given_up:
        return None
    return Verdict(outcome=Outcome.RUNNING, phase=seen.phase, reason=f"the engine says {seen.phase.value}")


def _lost(run: Run, seen: Observation, chance: float) -> Verdict | None:
    """Not found is UNKNOWN, never by itself the end: the policy decides, and only after a while."""
    if run.state is not TaskState.UNKNOWN:
        return Verdict(outcome=Outcome.UNKNOWN, phase=Phase.LOST, reason=_not_known(seen))
    if run.on_unknown == "hold" or not run.patience_over:
        return None
    reason = f"{_not_known(seen)}; policy {run.on_unknown}"
    if run.on_unknown == "retry":
        return _over(run, Phase.LOST, EndCause.LOST, None, reason, chance)
    return Verdict(outcome=Outcome.OVER, phase=Phase.LOST, cause=EndCause.LOST, reason=reason)


def _not_known(seen: Observation) -> str:
    detail = f": {seen.message}" if seen.message else ""
    return f"the engine does not know the run{detail}"[:1900]


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
    message = f": {seen.message}" if seen.message else ""
    return f"{cause.value.replace('_', ' ')}{code}{message}"


def resolution(data: TaskResolveData) -> str:
    """A person's decision as the task's history has it: who, what and why."""
    what = f"{data.decision} {data.handle}" if data.handle else data.decision
    return f"resolved by {data.actor} ({what[:500]}): {data.reason}"[:2000]


def why_not_resolved(data: TaskResolveData, state: TaskState | None, attempt: int) -> str:
    """Why a person's decision changes nothing; `state` is None where there is no such task."""
    if state is None:
        return f"there is no task {data.task_id}"
    if attempt != data.attempt:
        return f"it is about attempt {data.attempt}, and the task is {state.value} in attempt {attempt}"
    return f"the task is {state.value}, not UNKNOWN: nothing is to be decided"


def is_worth_publishing(now: EngineRecord, published: EngineRecord | None) -> bool:
    """Whether an engine differs from its last published state.

    Counts change all the time: slots count by tenths of the limit, the queue by its number of digits, and the last
    answer by half minutes.
    """
    return published is None or _coarse(now) != _coarse(published)


def _coarse(record: EngineRecord) -> tuple[object, ...]:
    used, slots = record.slots_used, record.slots
    answered = record.last_answer_at
    return (
        record.definitions_revision, record.breaker, record.breaker_since_at, record.intake, record.last_error,
        record.unknown, slots, -(-used * 10 // slots) if slots else used, used >= slots,
        len(str(record.queued)) if record.queued else 0, int(answered.timestamp() // 30) if answered else 0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What stands before the queued tasks of one plan on one engine. None for what has not been heard of."""

    plan_id: UUID
    engine_id: str
    engine_known: bool
    definitions_revision: int
    seen_revision: int = 0
    intake: str = "open"
    reached: bool = True
    """An executor that lives can talk to the engine."""
    breaker_since_at: datetime | None = None
    probe_at: datetime | None = None
    engine_limit: int = 0
    engine_active: int = 0
    engine_tokens: float = 1.0
    engine_rate: float | None = None
    """Starts per minute; None for no limit."""
    rules_known: bool = False
    held: bool = False
    held_reason: str = ""
    plan_priority: int = 50
    task_priority: int = 50
    """The highest among the queued tasks."""
    plan_limit: int | None = None
    plan_active: int = 0
    plan_tokens: float = 1.0
    plan_rate: float | None = None
    group: str | None = None
    """The step of a pipeline that limits how many of its tasks run at once."""
    group_limit: int | None = None
    group_active: int = 0
    canary_first: int | None = None
    plan_started: int = 0
    plan_ended: int = 0
    frozen_by: str | None = None
    """The freeze that holds it, the one that ends last."""
    frozen_reason: str | None = None
    frozen_until_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    why: WaitReason
    detail: str
    holder: str
    until_at: datetime | None = None


def why_waiting(queue: Queue, *, ahead: Queue | None = None, now: datetime) -> Waiting | None:
    """The first thing that keeps the queued tasks from being claimed; None if they are next.

    `ahead` is the queue of another plan that goes first on this engine.
    """
    answer = _of_freeze(queue) or _of_plan(queue, now) or _of_engine(queue) or _of_slots(queue, ahead, now)
    if answer is None:
        return None
    return Waiting(
        why=answer.why, holder=answer.holder, since_at=now, until_at=answer.until_at, detail=answer.detail[:2000]
    )


def who_is_ahead(queue: Queue, queues: Iterable[Queue]) -> Queue | None:
    """The queue of another plan that would be served first on the same engine, if any."""
    mine = _rank(queue)
    others = [
        other
        for other in queues
        if other.engine_id == queue.engine_id and other.plan_id != queue.plan_id and _rank(other) > mine
    ]
    return max((other for other in others if not _holds_itself_back(other)), key=_rank, default=None)


def first_in_line(queues: Iterable[Queue]) -> dict[str, tuple[Queue, ...]]:
    """By engine the first queues of the two plans that go first there: nobody else is ever ahead of another."""
    first: dict[str, tuple[Queue, ...]] = {}
    for queue in sorted((one for one in queues if not _holds_itself_back(one)), key=_rank, reverse=True):
        ahead = first.get(queue.engine_id, ())
        if not ahead or (len(ahead) == 1 and ahead[0].plan_id != queue.plan_id):
            first[queue.engine_id] = (*ahead, queue)
    return first


def _rank(queue: Queue) -> tuple[int, int]:
    return queue.plan_priority, queue.task_priority


def _holds_itself_back(queue: Queue) -> bool:
    full = _full(queue.plan_active, queue.plan_limit) or _full(queue.group_active, queue.group_limit)
    return not queue.rules_known or queue.held or queue.frozen_by is not None or _canary(queue) or full


def _of_freeze(queue: Queue) -> _Answer | None:
    """A freeze goes before everything else: whatever else is in the way, nothing starts before it ends."""
    if queue.frozen_by is None:
        return None
    holder = f"freeze:{queue.frozen_by}"
    return _Answer(WaitReason.FROZEN, queue.frozen_reason or "", holder, queue.frozen_until_at)


def _of_plan(queue: Queue, now: datetime) -> _Answer | None:
    """What the plan's own rules say."""
    plan = f"plan:{queue.plan_id}"
    if not queue.rules_known:
        return _Answer(WaitReason.RULES_NOT_SEEN, "the plan's rules have not arrived", plan)
    if queue.held:
        return _Answer(WaitReason.PLAN_PAUSED, queue.held_reason or "the plan is held", plan)
    if _canary(queue):
        return _Answer(WaitReason.CANARY, f"the first {queue.canary_first} are tried alone", plan)
    if _full(queue.plan_active, queue.plan_limit):
        return _Answer(WaitReason.PLAN_LIMIT, _taken(queue.plan_active, queue.plan_limit), plan)
    if _full(queue.group_active, queue.group_limit):
        return _Answer(WaitReason.STEP_LIMIT, _taken(queue.group_active, queue.group_limit), f"step:{queue.group}")
    if queue.plan_tokens < 1 and queue.plan_rate is not None:
        return _Answer(
            WaitReason.START_RATE, f"at most {queue.plan_rate:g} starts a minute, by the plan's rules", plan,
            _token_at(queue.plan_tokens, queue.plan_rate, now),
        )  # fmt: skip
    return None


def _of_engine(queue: Queue) -> _Answer | None:
    """What keeps the engine from taking anything."""
    id, holder = queue.engine_id, f"engine:{queue.engine_id}"
    if queue.seen_revision < queue.definitions_revision:
        return _Answer(
            WaitReason.DEFINITION_NOT_SEEN,
            f"engine definition {id} of r{queue.definitions_revision} not seen yet: r{queue.seen_revision} was",
            holder,
        )
    if not queue.engine_known:
        return _Answer(WaitReason.DEFINITION_NOT_SEEN, f"there is no engine {id} in the definitions", holder)
    if queue.intake != "open":
        return _Answer(WaitReason.ENGINE_PAUSED, f"{id} is {queue.intake}", holder)
    if not queue.reached:
        return _Answer(WaitReason.ENGINE_UNREACHABLE, f"no executor that runs can reach {id}", holder)
    if queue.breaker_since_at is not None:
        return _Answer(WaitReason.BREAKER_OPEN, f"{id} does not answer", holder, queue.probe_at)
    return None


def _of_slots(queue: Queue, ahead: Queue | None, now: datetime) -> _Answer | None:
    """What keeps the engine from taking more, and who goes first."""
    holder = f"engine:{queue.engine_id}"
    full = _full(queue.engine_active, queue.engine_limit)
    spent = queue.engine_tokens < 1 and queue.engine_rate is not None
    if (full or spent) and ahead is not None:
        order = f"plan priority {ahead.plan_priority}, task priority {ahead.task_priority}"
        return _Answer(WaitReason.PRIORITY, f"another plan goes first: {order}", f"plan:{ahead.plan_id}")
    if full:
        return _Answer(WaitReason.ENGINE_LIMIT, _taken(queue.engine_active, queue.engine_limit), holder)
    if spent and queue.engine_rate is not None:
        return _Answer(
            WaitReason.START_RATE, f"at most {queue.engine_rate:g} starts a minute on {queue.engine_id}", holder,
            _token_at(queue.engine_tokens, queue.engine_rate, now),
        )  # fmt: skip
    return None


def _token_at(tokens: float, per_minute: float, now: datetime) -> datetime:
    return now + timedelta(seconds=min((1 - tokens) * 60 / per_minute, 86_400.0))


def _canary(queue: Queue) -> bool:
    first = queue.canary_first
    return first is not None and queue.plan_ended < first <= queue.plan_started


def _full(active: int, limit: int | None) -> bool:
    return limit is not None and active >= limit


def _taken(active: int, limit: int | None) -> str:
    return f"{active} of {limit} slots are taken"
