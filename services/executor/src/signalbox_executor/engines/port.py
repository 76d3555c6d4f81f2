"""The engine port: what every engine must be able to do, in values that name no engine.

Three methods carry the claim protocol: `submit`, `observe`, `cancel`. What only some engines can do is a capability
(`capabilities`). Three errors cross the port; an exception of a client library never does. Every call ends: an adapter
gives each of its waits a time limit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

from pydantic import JsonValue
from pydantic_core import to_json

from signalbox_chassis.observability.logs import redact
from signalbox_chassis.runtime.isolation import storable
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.vocabulary import RESULT_BYTES

__all__ = [
    "ENDS",
    "LINK_LENGTH",
    "MESSAGE_LENGTH",
    "AnswerUnreadable",
    "EndCause",
    "Engine",
    "EngineRefused",
    "EngineThrottled",
    "EngineUnavailable",
    "Handle",
    "Identity",
    "LogPage",
    "Observation",
    "Phase",
    "Submission",
    "Watched",
    "WorldChanged",
    "bounded",
    "is_link",
]

Handle = str
"""The engine's own name for what it runs, at most 1,024 characters."""

ENDS: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.KILLED})
"""A run seen in one of these never runs again. `Phase.LOST` is not one: a lost run may still be alive."""

MAX_RETRY_AFTER_SECONDS: Final = 3600.0
"""No engine makes its tasks wait for longer without being asked again."""
MESSAGE_LENGTH: Final = 2000
LINK_LENGTH: Final = 2048
_LINK: Final = re.compile(r"https?://[^\s/?#@\\]+([/?#][^\s\x00-\x1f]*)?")


def bounded(text: str) -> str:
    """A text of an engine, without what PostgreSQL cannot hold, cut to the length a message may have."""
    text = storable(text)
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def is_link(text: str) -> bool:
    """Whether a browser may be sent there: http or https, a host, no credentials."""
    return len(text) <= LINK_LENGTH and _LINK.fullmatch(text) is not None


class Identity(Enum):
    """What keeps a second copy of a submit from becoming a second run."""

    REMEMBERS_KEYS = "remembers keys"
    """The same run key twice is one run, for as long as the engine definition's `key_retention_seconds`."""
    START_FENCE = "start fence"
    """The work's first act is to claim its run key with us; the loser reports "not me"."""
    NONE = "none"
    """Nobody can tell: after an unclear submit the task waits in UNKNOWN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One attempt, as every copy of its submit says it: whoever takes the task over makes an equal value."""

    run_key: str
    task_id: UUID
    attempt: int
    work: Work = field(repr=False)
    """With secret values in it: in no text for people."""
    time_limit_seconds: float | None = None
    """Most time the run may take, from its start on the engine. An engine that cannot see to it itself ignores this:
    the executor cancels what is overdue."""
    traceparent: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The secret values in the work, to be masked in its log."""
    target: str | None = None
    """What was started, such as `job:nightly`; with its version, and the step of a pipeline, artifacts are pinned."""
    target_version: int | None = None
    step: str | None = None
    resent: bool = False
    """An earlier copy of this submit may be on its way, or may have arrived."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A run as our row has it. `handle` is None while no answer to a submit was recorded."""

    run_key: str
    attempt: int
    handle: Handle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an engine says of one run now.

    `Phase.LOST` means the engine answered, with authority, that it does not know the key: UNKNOWN for us, never by
    itself the end of an attempt. An engine that could not be asked is `EngineUnavailable`, never an observation.
    """

    run_key: str
    phase: Phase
    handle: Handle | None
    at: datetime
    """When it was so, in the clock of the executor that asked."""
    exit_code: int | None = None
    result: JsonValue = None
    cause: EndCause | None = None
    """Set if and only if the phase is one of `ENDS`."""
    message: str = ""
    started_at: datetime | None = None
    """By the engine's clock, as is `ended_at`: to be shown, never compared."""
    ended_at: datetime | None = None
    log_bytes: int | None = None
    """How much the run has written, where the engine says it with everything else: 0 spares asking for its log."""
    handle_url: str | None = None
    """The engine's own page of this run, for a person's browser: http or https, without credentials."""

    def __post_init__(self) -> None:
        if len(self.message) > MESSAGE_LENGTH:
            raise ValueError(f"message has {len(self.message)} characters: at most {MESSAGE_LENGTH} are allowed")
        if self.result is not None and (size := len(to_json(self.result))) > RESULT_BYTES:
            raise ValueError(f"result takes {size} bytes as JSON: at most {RESULT_BYTES} are allowed")
        if self.handle_url is not None and not is_link(self.handle_url):
            raise ValueError(f"handle_url is not an http or https address of at most {LINK_LENGTH} characters")
        if (self.cause is not None) != (self.phase in ENDS):
            raise ValueError(f"cause is {self.cause} in phase {self.phase}: an end has a cause, nothing else has one")


@dataclass(frozen=True, slots=True)
class LogPage:
    """A piece of what a run wrote. `offset` counts bytes of all it wrote: more than was asked for means a gap."""

    offset: int
    data: bytes

    @property
    def next_offset(self) -> int:
        return self.offset + len(self.data)


class EngineUnavailable(Exception):
    """The engine gave no answer that can be believed. A submit may still arrive: send it again with the same key."""

    def __init__(self, engine: str, reason: str, *, may_have_arrived: bool = True) -> None:
        reason = bounded(redact(reason))
        super().__init__(f"{engine} does not answer: {reason}")
        self.engine = engine
        self.reason = reason
        self.may_have_arrived = may_have_arrived
        """False only where the request surely never left: no connection could be made."""


class AnswerUnreadable(EngineUnavailable):
    """The engine answers, and nobody can read this answer: it says nothing of its other answers."""


class EngineRefused(Exception):
    """The engine will never run this. It ends the attempt only if no other copy of the submit can be on its way."""

    def __init__(self, engine: str, reason: str, *, field: str = "", value: str = "", sealed: bool = False) -> None:
        super().__init__(bounded(f"{engine} refuses {f'{field}: ' if field else ''}{reason}"))
        self.engine = engine
        self.reason = reason
        self.field = field
        """What in the work is wrong, such as `work.argv[0]`; empty if the engine does not say."""
        self.value = value
        self.sealed = sealed
        """The key was sealed and has no run: surely nothing of it runs or ever will."""


class WorldChanged(EngineRefused):
    """What the work was to act on is no longer as it was when the work was decided: it is not carried out."""


class EngineThrottled(Exception):
    """The engine answers, and asks us to come later. Nothing was started."""

    def __init__(self, engine: str, retry_after_seconds: float, reason: str = "") -> None:
        seconds = min(max(0.0, retry_after_seconds), MAX_RETRY_AFTER_SECONDS)  # not a number: 0
        super().__init__(bounded(f"{engine} asks to wait {seconds:g} s{f': {reason}' if reason else ''}"))
        self.engine = engine
        self.retry_after_seconds = seconds


class Engine(Protocol):
    """One registered engine. Adapters are safe to call from many coroutines at once, for the same key too."""

    @property
    def identity(self) -> Identity: ...

    async def submit(self, submission: Submission) -> Handle:
        """Make sure this key runs, and say the engine's name for it.

        "Already there" for this key is success and returns the handle of what is there, whatever its phase. Raises
        the three errors above; cancelling the coroutine leaves it open whether the submit arrived.
        """
        ...

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """The phase of each of these, by run key, in as few calls as the engine offers; every key has an entry.

        Raises `EngineUnavailable` or `EngineThrottled`, and then says nothing about any of them.
        """
        ...

    async def cancel(self, watched: Watched) -> None:
        """Ask the engine to end this run; returning means it was asked, the end is what `observe` says later.

        Bound to the run key, repeatable, never deletes. An ended run stays as it ended. For a key it does not know an
        engine either does nothing or keeps the wish: repeat until the run is seen in one of `ENDS`.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. What runs on the engine runs on."""
        ...
