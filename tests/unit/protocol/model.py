"""What a variant can change: the guards of each statement, the choices of the design, the faults and the bounds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from .state import (
    ACTIVE,
    AT_CANCEL,
    AT_CLAIM,
    AT_INTENT,
    AT_RESOLVE,
    CLAIMED,
    EMPTY,
    HUNG,
    IDLE,
    NOBODY,
    QUEUED,
    SUBMITTING,
    TERMINAL,
    UNKNOWN,
    VALID,
    Coroutine,
    Dial,
    Lease,
    Row,
    State,
    Worker,
)

GUARDS: dict[str, str] = {
    "renew.not_expired": "lease_until > now(): a lease that ran out is never renewed",
    "renew.not_dead": "NOT dead: a worker that was taken over never comes back",
    "claim.own_row": "the claim looks whether its own worker row is live",
    "claim.own_row_lock": "… FOR SHARE, in the same transaction",
    "claim.group_lock": "advisory lock of the engine group before the engine's rows are counted",
    "claim.plan_lock": "plan rows FOR UPDATE before the plan's rows are counted",
    "claim.fresh_limit": "the plan's limit is the one in the row just locked, not one remembered",
    "claim.unknown_counts": "UNKNOWN counts in every limit",
    "claim.per_engine": "an engine's limit counts that engine's rows only",
    "claim.state": "state = QUEUED in the claim's own UPDATE",
    "rules.version": "plan rules are written only over an older version",
    "give_back.state": "only a CLAIMED row is given back",
    "give_back.fence": "… and only where the fence matches",
    "sweep": "with each renewal a worker drives its own rows that no coroutine of its drives",
    "intent.state": "state = CLAIMED",
    "intent.fence": "fence = mine",
    "intent.owner": "owner = me",
    "intent.lease": "my worker lease is valid",
    "intent.attempt": "attempt = mine",
    "resend.state": "state = SUBMITTING",
    "resend.fence": "fence = mine",
    "resend.counted": "sends is raised before each re-send",
    "record.state": "state = SUBMITTING",
    "record.fence": "fence = mine",
    "record.owner": "owner = me",
    "record.lease": "my worker lease is valid",
    "record.attempt": "attempt = mine",
    "rejected.single": "a rejection ends the attempt only if sends = 1",
    "takeover.live": "own worker row FOR SHARE, live",
    "takeover.expired": "the victim's lease ran out, or it is dead",
    "takeover.marks_dead": "the victim is marked dead",
    "takeover.raises_fence": "fence + 1 on every row moved",
    "lease.own_end": "the engine lease runs out by itself, not only with its holder's worker lease",
    "lease.per_engine": "one engine lease, and one observer, for each engine",
    "observe.rows_first": "first the rows, then the engine",
    "observation.state": "state IN (RUNNING, UNKNOWN)",
    "observation.attempt": "attempt = the one looked at",
    "observation.engine_fence": "the engine lease is still mine (FOR SHARE)",
    "over.row_decides": "retry or CANCELLED is a CASE on the row's own cancel flag",
    "cancel.claimed": "the cancel finishes CLAIMED rows itself",
    "cancel.one_statement": "the cancel reads and writes the state in one UPDATE",
    "cancel.seen_terminal": "a RUNNING row is CANCELLED only when its run was seen terminal",
    "fence.winner": "the handle is the key that won the start fence",
    "fence.sealed_wins": "the record asks the start fence: where the seal won, the attempt is over",
    "fence.loser_told": "a copy that lost the start fence reports 'not me', never success",
    "resolve.attempt": "a person's decision is about one attempt",
    "expire.state": "only a QUEUED row ends because it waited too long",
}
OPTIONAL = {f"{write}.{what}" for write in ("intent", "record") for what in ("owner", "lease", "attempt")}
RECOMMENDED = frozenset(set(GUARDS) - OPTIONAL)

Predicate = Callable[[State, Row, Coroutine], bool]
PREDICATES: dict[str, Predicate] = {
    "fence": lambda s, row, me: row.fence == me.fence,
    "attempt": lambda s, row, me: row.attempt == me.attempt,
    "owner": lambda s, row, me: row.owner == me.worker,
    "lease": lambda s, row, me: s.workers[me.worker].lease == VALID,
}
EXPECTED_STATE = {"intent": CLAIMED, "resend": SUBMITTING, "record": SUBMITTING}


@dataclass(frozen=True)
class Model:
    """One variant of the protocol in one world. The defaults are the protocol as designed, one task, three workers."""

    guards: frozenset[str] = RECOMMENDED

    # the design's choices
    cancel_submitting: Literal["adopt", "seal", "at once", "not found"] = "adopt"
    not_found: Literal["unknown", "over"] = "unknown"
    unknown: Literal["wait", "seal", "fail", "retry", "person"] = "wait"
    on_rejection: Literal["over", "seal"] = "over"
    new_attempt_on_lookup: bool = False
    start_fence: bool = False
    sweep_dead_owners: bool = False
    claim_intends: bool = False
    """Claim and intent are two statements of one transaction: no one ever sees a CLAIMED row."""
    asks_twice: bool = True
    """False: what may have been sent is never sent again; the row is UNKNOWN."""

    # bounds; the last worker never dies
    tasks: int = 1
    attempts: int = 2
    workers: int = 3
    engines: int = 1
    limit: int = 99
    """Of each engine."""
    dial: tuple[int, ...] = (99,)
    """The plan's limit by version of its rules; more than one: rules arrive at any moment, in any order, repeatedly."""

    # what may go wrong beyond crashes, delays, lost answers and leases that run out
    cancels: bool = True
    copies_repeat: bool = True
    """A submit under way can arrive again and again; otherwise once, or get lost."""
    key_per_send: bool = False
    """The fence is in the key, or the engine cannot tell copies apart."""
    twins: bool = False
    """The sweep can overlook a slow coroutine, so that two drive one task."""
    gives_back: bool = False
    stale_answers: bool = False
    looks_twice: bool = False
    """Time passes between selecting the rows and asking the engine."""
    forgets: bool = False
    deadlines: bool = False
    """Time limits end what waits, stop what runs, and give up what does not answer or does not stop."""
    rejects: bool = False
    stop_deletes: bool = False
    hangs: bool = False
    silent: bool = False
    """Engine 0 answers nobody; whoever observes it hangs in that call."""

    # how the verdict is judged and found
    unknown_may_wait: bool = False
    unknown_may_be_false: bool = False
    reduce: bool = True

    def __post_init__(self) -> None:
        if strange := self.guards - set(GUARDS):
            raise ValueError(f"no such guard: {sorted(strange)}")

    @cached_property
    def checks(self) -> dict[str, tuple[Predicate, ...]]:
        """Of each of the worker's writes, what it requires beyond the state."""
        return {
            write: tuple(holds for name, holds in PREDICATES.items() if f"{write}.{name}" in self.guards)
            for write in EXPECTED_STATE
        }

    def matches(self, write: str, s: State, me: Coroutine) -> bool:
        """Whether the guarded UPDATE of this coroutine finds its row."""
        row = s.rows[me.task]
        if f"{write}.state" in self.guards and row.state != EXPECTED_STATE[write]:
            return False
        return all(holds(s, row, me) for holds in self.checks[write])

    @cached_property
    def claims_in_two_steps(self) -> bool:
        """A guard that is not checked under a lock is checked a moment before the write."""
        unlocked = {"claim.group_lock", "claim.plan_lock", "claim.fresh_limit", "claim.state"} - self.guards
        return bool(unlocked) or ("claim.own_row" in self.guards and "claim.own_row_lock" not in self.guards)

    @cached_property
    def counted(self) -> frozenset[str]:
        return ACTIVE | {UNKNOWN} if "claim.unknown_counts" in self.guards else ACTIVE

    @cached_property
    def task_engine(self) -> tuple[int, ...]:
        return tuple(task % self.engines for task in range(self.tasks))

    @cached_property
    def observers(self) -> tuple[tuple[int, ...], ...]:
        """The engines each lease is for."""
        if "lease.per_engine" in self.guards:
            return tuple((engine,) for engine in range(self.engines))
        return (tuple(range(self.engines)),)

    def key(self, attempt: int, fence: int) -> int:
        return attempt * 100 + fence if self.key_per_send else attempt

    def attempt_of(self, key: int) -> int:
        return key // 100 if self.key_per_send else key

    def engine_room(self, s: State, task: int) -> bool:
        mine, counted = self.task_engine[task], self.counted
        everywhere = "claim.per_engine" not in self.guards
        rows = zip(s.rows, self.task_engine, strict=True)
        return sum(row.state in counted for row, engine in rows if everywhere or engine == mine) < self.limit

    def plan_room(self, s: State, limit: int) -> bool:
        return sum(row.state in self.counted for row in s.rows) < limit

    def can_act(self, s: State, me: Coroutine) -> bool:
        """False if no write of this coroutine can match any more: fences and attempts only rise, terminal rows stay."""
        row, guards = s.rows[me.task], self.guards
        if me.at == AT_CLAIM:
            return not ("claim.state" in guards and row.state in TERMINAL)
        if me.at in (AT_CANCEL, AT_RESOLVE):
            stale = me.at == AT_RESOLVE and "resolve.attempt" in guards and row.attempt != me.attempt
            return row.state not in TERMINAL and not stale
        write = "intent" if me.at == AT_INTENT else "record"
        if f"{write}.fence" in guards and row.fence != me.fence:
            return False
        if f"{write}.attempt" in guards and row.attempt != me.attempt:
            return False
        return not (f"{write}.state" in guards and row.state in TERMINAL)

    def start(self) -> State:
        row = Row(QUEUED, 1, 0, NOBODY, False, 0, 0)
        leases = (Lease(NOBODY, 0),) * len(self.observers)
        watches = tuple(HUNG if self.silent and 0 in engines else IDLE for engines in self.observers)
        return State(
            (row,) * self.tasks,
            (EMPTY,) * self.tasks,
            (Worker(VALID, True),) * self.workers,
            leases,
            (watches,) * self.workers,
            (),
            Dial(self.dial[0], 0, 0),
        )


def model(*, without: Iterable[str] = (), plus: Iterable[str] = (), **changes: Any) -> Model:
    """The recommended protocol, less some guards, plus some, in a changed world."""
    without = set(without)
    if strange := without - RECOMMENDED:
        raise ValueError(f"not among the recommended guards: {sorted(strange)}")
    return Model(guards=(RECOMMENDED - without) | frozenset(plus), **changes)
