"""What a moment of the modelled world consists of: frozen values, compared and hashed as tuples.

The rows, leases and the dial are in the database; sites are on the engine; watches and coroutines are the memory of
processes, and may be stale.
"""

from typing import NamedTuple, TypeVar

T = TypeVar("T")

NOBODY = -1

# states of a row
QUEUED, CLAIMED, SUBMITTING, RUNNING, UNKNOWN = "QUEUED", "CLAIMED", "SUBMITTING", "RUNNING", "UNKNOWN"
SUCCEEDED, FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})
ACTIVE = frozenset({CLAIMED, SUBMITTING, RUNNING})
OBSERVED = frozenset({RUNNING, UNKNOWN})

# phases of a key on its engine; ABSENT is only ever an answer
LIVE, DONE, BROKEN, KILLED, SEALED, LOSER = "live", "succeeded", "failed", "killed", "sealed", "lost the start fence"
ABSENT, SELECTED = "not found", "selected, not asked yet"
ENDED = frozenset({BROKEN, KILLED, SEALED})
STARTED = frozenset({LIVE, DONE, BROKEN, KILLED})

# leases of a worker
VALID, EXPIRED, DEAD = "valid", "expired", "dead"

# where a coroutine stands: the step it does next
AT_CLAIM, AT_INTENT, AT_RESEND, AT_ANSWER, AT_REJECTION = "claim", "intent", "resend", "answer", "rejection"
AT_CANCEL, AT_RESOLVE = "cancel", "resolve"


class Row(NamedTuple):
    """The task's row in the executor's table."""

    state: str
    attempt: int
    fence: int
    owner: int
    cancel: bool
    handle: int
    sends: int


class Site(NamedTuple):
    """What one task left on its engine and on the wire to it."""

    runs: tuple[tuple[int, str], ...]
    """Key and phase of everything the engine remembers."""
    flying: tuple[tuple[int, int], ...]
    """Submits under way: key, and the fence of the sender where it matters who hears the answer."""
    stops: tuple[int, ...]
    """Stops under way, by key."""
    known: tuple[int, ...]
    """Keys ever created: an answer about them can still be under way."""
    forgotten: int
    """Successful runs the engine no longer remembers."""


class Worker(NamedTuple):
    lease: str
    up: bool


class Lease(NamedTuple):
    """The right to observe one engine."""

    holder: int
    fence: int


class Seen(NamedTuple):
    """What an observer remembers of one task between looking and writing."""

    attempt: int
    handle: int
    phase: str
    cancel: bool
    runs: tuple[tuple[int, str], ...]
    """Everything the engine said, where the engine was asked before the rows were read."""


class Watch(NamedTuple):
    """One worker's observer of one engine. Fence 0: it does not observe; -1: it hangs in a call."""

    fence: int
    seen: tuple[tuple[int, Seen], ...]


class Coroutine(NamedTuple):
    """One coroutine that drives one task, all from memory."""

    worker: int
    task: int
    fence: int
    attempt: int
    at: str
    key: int


class Dial(NamedTuple):
    """The plan's limit as recorded, the version of its rules, and the newest version ever confirmed."""

    limit: int
    version: int
    newest: int


class State(NamedTuple):
    rows: tuple[Row, ...]
    sites: tuple[Site, ...]
    workers: tuple[Worker, ...]
    leases: tuple[Lease, ...]
    watches: tuple[tuple[Watch, ...], ...]
    """By worker, then by engine."""
    coroutines: tuple[Coroutine, ...]
    dial: Dial


Step = tuple[bool, str, State]
"""Whether it is a fault, what happened, and the state afterwards."""

IDLE = Watch(0, ())
HUNG = Watch(-1, ())
EMPTY = Site((), (), (), (), 0)


def put(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def put_row(s: State, task: int, row: Row) -> State:
    return s._replace(rows=put(s.rows, task, row))


def add(coroutines: tuple[Coroutine, ...], one: Coroutine) -> tuple[Coroutine, ...]:
    """Twins are two, even where they remember the same."""
    return tuple(sorted((*coroutines, one)))


def drop(coroutines: tuple[Coroutine, ...], one: Coroutine) -> tuple[Coroutine, ...]:
    index = coroutines.index(one)
    return coroutines[:index] + coroutines[index + 1 :]


def phase_of(site: Site, key: int) -> str:
    for name, phase in site.runs:
        if name == key:
            return phase
    return ABSENT
