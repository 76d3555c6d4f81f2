"""Whether what was done to a task's row is a path of the model: each change of it is one the model's own steps make.

A row is seen as the model has it; what the model does not have is judged by `statements.MAY_CHANGE`. An audit cannot
show what a statement compared: a fence that was not checked shows only where another process than the owner's wrote.
What the removal of a guard breaks is for the guards' own tests (`test_executor_mutations.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from uuid import UUID

from support.audit import Audited, Change

from .state import CLAIMED, NOBODY, OBSERVED, QUEUED, SUBMITTING, TERMINAL, UNKNOWN, Row
from .statements import DRIVES, MAY_CHANGE, ME, OTHER, TAKES, TRIES_AGAIN, UNTOLD, Statement, possible


@dataclass(frozen=True)
class Finding:
    """A change that no statement makes."""

    change: Change
    why: str

    def __str__(self) -> str:
        change = self.change
        return f"task {change.task_id}, serial {change.serial}: {self.why}\n  {change.before}\n  {change.after}"


@dataclass
class Judgement:
    findings: list[Finding] = field(default_factory=list[Finding])
    seen: Counter[Statement] = field(default_factory=Counter[Statement])

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or ", ".join(f"{name}: {n}" for name, n in self.seen.items())


def judge(changes: Iterable[Change]) -> Judgement:
    """Every change of every task, in the order of their serials; each task from its beginning."""
    judgement = Judgement()
    paths: defaultdict[UUID, list[Change]] = defaultdict(list)
    made: dict[int, Statement] = {}
    for change in changes:
        path = paths[change.task_id]
        found = _judged(path[-1] if path else None, change)
        if isinstance(found, Statement):
            made[change.serial] = found
        else:
            judgement.findings.append(Finding(change, found))
        path.append(change)
    judgement.seen.update(made.values())
    judgement.findings += _of_others([change for path in paths.values() for change in path], made)
    return judgement


def _judged(last: Change | None, change: Change) -> Statement | str:
    """The statement that made a change, or why none did."""
    before, after = change.before, change.after
    if after is None:
        return "a task was deleted"
    if before != (last.after if last else None):
        return "it does not begin where the change before it ended"
    if before is None:
        started = _row(after, None) == Row(QUEUED, 1, 0, NOBODY, False, 0, 0)
        fresh = (after.sends, after.faults, after.handle, after.stopping) == (0, 0, None, False)
        return Statement.ACCEPT if started and fresh else "a task began in the middle"
    if after == replace(before, version=after.version, fence=before.fence + 1000) and after.version > before.version:
        return Statement.RESTORE
    if before.state in TERMINAL and before != after:
        return "a terminal row changed"
    names = possible(_row(before, before.owner), _row(after, before.owner))
    fitting = [name for name in names if _fits(name, before, after)]
    if fitting:
        return fitting[0]
    return f"{' or '.join(names)} changes nothing else" if names else "no statement of the model leads there"


def _row(audited: Audited, mine: UUID | None) -> Row:
    """As the model has it: a handle is the attempt's key, and `sends` counts to 2 and only while that decides."""
    owner = NOBODY if audited.owner is None else ME if audited.owner == mine else OTHER
    handle = audited.attempt if audited.state in OBSERVED else 0
    sends = min(audited.sends, 2) if audited.state == SUBMITTING else 0
    return Row(audited.state, audited.attempt, audited.fence, owner, audited.cancelled, handle, sends)


def _fits(name: Statement, before: Audited, after: Audited) -> bool:
    """Whether what the model does not have changed as this statement changes it."""
    changed = {one.name for one in fields(Audited) if getattr(before, one.name) != getattr(after, one.name)}
    if not changed - {"version"} <= MAY_CHANGE[name] or not _fits_by_name(name, before, after):
        return False
    raised = after.version - before.version
    if raised != (name not in UNTOLD) and not (name is Statement.PUBLISH and raised == 0):
        return False
    if after.state in (QUEUED, CLAIMED) and (after.sends, after.handle, after.stopping) != (0, None, False):
        return False
    if (after.state in TERMINAL and after.cause is None) or (before.kill and not after.kill):
        return False
    if after.stopping and not before.stopping and name is not Statement.STOP_INTENT:
        return False
    if after.attempt > before.attempt:
        return name in TRIES_AGAIN and _has_a_try_left(before, after)
    return before.faults == after.faults


def _has_a_try_left(before: Audited, after: Audited) -> bool:
    """Whose budget paid: the infrastructure's is counted; a person may go beyond it."""
    if after.faults == before.faults:
        return before.attempt - before.faults < before.max_attempts
    within = before.faults < before.infrastructure_attempts or after.cause == "resolved"
    return after.faults == before.faults + 1 and within


def _fits_by_name(name: Statement, before: Audited, after: Audited) -> bool:
    match name:
        case Statement.RAISE_SENDS:
            return after.sends > before.sends
        case Statement.RECORD:
            return after.handle is not None
        case Statement.REFUSE:
            return after.cause == "refused" and before.sends == 1
        case Statement.RESOLVE:
            return after.cause in ("lost", "resolved", "cancelled")
        case Statement.RETRY:
            return after.state == QUEUED
        case Statement.OBSERVE:
            adopted = before.state == UNKNOWN and not after.stopping
            return adopted or before.stopping == after.stopping
        case Statement.STOP_INTENT:
            return after.stopping
        case Statement.CANCEL:
            return after.cancelled and (before.state != after.state or before.cause == after.cause)
        case _:
            return True


def _of_others(changes: list[Change], made: dict[int, Statement]) -> Iterator[Finding]:
    """What only an owner's process does, done by a session of another process.

    A session shows its process by what it takes. A process lays a worker id down before it claims under the next one:
    two ids that claim by turns are two processes.
    """
    of_session: defaultdict[str, set[UUID]] = defaultdict(set)
    first_taken: dict[UUID, int] = {}
    last_claimed: defaultdict[UUID, int] = defaultdict(int)
    for change in sorted(changes, key=lambda one: one.serial):
        name, owner = made.get(change.serial), change.after and change.after.owner
        if owner and name in TAKES:
            of_session[change.writer].add(owner)
            first_taken.setdefault(owner, change.serial)
            if name is Statement.CLAIM:
                last_claimed[owner] = change.serial

    def by_turns(one: UUID, other: UUID) -> bool:
        return last_claimed[one] > first_taken[other] and last_claimed[other] > first_taken[one]

    for change in changes:
        owner = change.before and change.before.owner
        if owner is None or owner not in first_taken or made.get(change.serial) not in DRIVES:
            continue
        if any(by_turns(owner, one) for one in of_session[change.writer] - {owner}):
            yield Finding(change, f"{made[change.serial]} by another than the owner's process")
