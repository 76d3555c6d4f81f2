"""The start fence: work that an engine may start twice claims its run key with us before it does anything.

What is known of a key lies in the blob store, each fact written once and never changed: which of an engine's runs owns
the key, and that this run began. The executor writes before and after it submits, the gateway for the launcher that
runs on the engine; neither needs the other, a database or Kafka. A key that is sealed is owned by no run.

INVARIANT of all copies of a start one passes `claim`, and none does after `seal` answered that the key is sealed. Where
a fact cannot be read, nothing passes, and nothing is written in its place.
"""

import hashlib
import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, ValidationError

from signalbox_chassis.blobs import BlobExists, BlobMissing, Blobs
from signalbox_contracts.vocabulary import Count, Instant, Value

__all__ = [
    "JAR",
    "LAUNCHER",
    "MAX_RESULT_TEXT",
    "NotClaimed",
    "Owner",
    "RunEnd",
    "RunProgress",
    "StartFence",
    "StartUnknown",
    "StartUnreadable",
    "Started",
]

LAUNCHER: Final = Path(__file__).with_name("launcher.py")
"""Runs Python applications behind the fence."""
JAR: Final = Path(__file__).with_name("signalbox-launcher.jar")
"""The same for the JVM, and the listener that reports stages. `tests/engines/spark/launcher.py` makes it of `java/`."""
MAX_RESULT_TEXT: Final = 40_000
"""Longest result a launcher sends, in base64 characters; a longer one is cut, and its size says so."""
_Name = Annotated[str, Field(max_length=255)]
_Text = Annotated[str, Field(max_length=4000)]
_V = TypeVar("_V", bound=Value)


class StartUnknown(Exception):
    """No start of this key was sent with this secret."""


class NotClaimed(Exception):
    """This copy must not do the work; `reason` says why to a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StartUnreadable(Exception):
    """A fact of this key is in the blob store and cannot be read: whether its work began is not known."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be read: {reason}")
        self.name = name
        """The blob."""
        self.reason = reason


class Owner(Value):
    """The engine's run that has the key; `run` is None for a sealed key, which none has and none ever will."""

    run: _Name | None = None
    reason: _Text = ""
    at: Instant


class Started(Value):
    """The owner began its work; `nonce` tells repeated calls of one process from another process.

    An empty nonce: it had not begun, and must not any more.
    """

    nonce: Annotated[str, Field(max_length=64)]
    at: Instant


class RunEnd(Value):
    """How the work ended, by the launcher's word."""

    exit_code: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    """None: its process got SIGTERM before the work returned."""
    error: _Text = ""
    result: Annotated[str, Field(max_length=MAX_RESULT_TEXT)] | None = None
    """What the work left as its result, in base64, as far as it fits."""
    result_bytes: Count = 0
    at: Instant | None = None
    """When the word arrived."""


class RunProgress(Value):
    """How far the work is, by the listener in the driver."""

    application: _Name = ""
    jobs_done: Count = 0
    jobs_failed: Count = 0
    last_job_failed: bool = False
    last_error: _Text = ""
    stages_done: Count = 0
    stages_active: Count = 0
    tasks_done: Count = 0
    tasks_total: Count = 0
    ended: bool = False


class StartFence:
    """The claims in one blob store. What reads a fact raises `StartUnreadable` where it is damaged."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def open_send(self, run_key: str, at: datetime) -> str:
        """A secret for one copy of a start, known to the store by its hash alone."""
        secret = secrets.token_urlsafe(32)
        await self._create(_key(run_key, f"sends/{_hash(secret)}"), Owner(at=at))
        return secret

    async def take(self, run_key: str, run: str, at: datetime) -> Owner:
        """Give the key to this run of the engine, unless it has an owner; the owner from then on."""
        return await self._own(run_key, Owner(run=run, at=at))

    async def seal(self, run_key: str, reason: str, at: datetime) -> Owner:
        """Let no run have the key, unless it has an owner; the owner from then on."""
        return await self._own(run_key, Owner(reason=reason[:4000], at=at))

    async def owner(self, run_key: str) -> Owner | None:
        return await self._read(_key(run_key, "owner"), Owner)

    async def started(self, run_key: str) -> Started | None:
        return await self._read(_key(run_key, "started"), Started)

    async def never_start(self, run_key: str, at: datetime) -> bool:
        """Keep the owner from beginning; False if it has begun."""
        return not (await self._start(run_key, Started(nonce="", at=at))).nonce

    async def claim(self, run_key: str, secret: str, run: str, nonce: str, at: datetime) -> None:
        """Returning lets the caller begin. Repeatable with the same nonce.

        Raises `NotClaimed`, `StartUnknown`, `StartUnreadable`: the caller must not begin.
        """
        await self._check(run_key, secret)
        owner = await self.take(run_key, run, at)
        if owner.run is None:
            raise NotClaimed(f"this start was called off: {owner.reason}")
        if owner.run != run:
            raise NotClaimed(f"not me: {owner.run} has this work")
        started = await self._start(run_key, Started(nonce=nonce, at=at))
        if started.nonce != nonce:
            raise NotClaimed("this work was begun before" if started.nonce else "this start was given up")

    async def save_end(self, run_key: str, secret: str, run: str, end: RunEnd) -> None:
        """Keep how the work ended; the first word counts. Raises `NotClaimed`, `StartUnknown`, `StartUnreadable`."""
        await self._check_owner(run_key, secret, run)
        await self._create(_key(run_key, "end"), end)

    async def save_progress(self, run_key: str, secret: str, run: str, progress: RunProgress) -> None:
        """Keep how far the work is, in place of what was kept. Raises what `save_end` raises."""
        await self._check_owner(run_key, secret, run)
        await self._blobs.write(_key(run_key, "progress"), progress.model_dump_json().encode(), replace=True)

    async def end(self, run_key: str) -> RunEnd | None:
        return await self._read(_key(run_key, "end"), RunEnd)

    async def progress(self, run_key: str) -> RunProgress | None:
        return await self._read(_key(run_key, "progress"), RunProgress)

    async def _check(self, run_key: str, secret: str) -> None:
        if await self._blobs.size(_key(run_key, f"sends/{_hash(secret)}")) is None:
            raise StartUnknown(run_key)

    async def _check_owner(self, run_key: str, secret: str, run: str) -> None:
        await self._check(run_key, secret)
        owner = await self.owner(run_key)
        if owner is None or owner.run != run or await self.started(run_key) is None:
            raise NotClaimed("only the run that began this work reports about it")

    async def _own(self, run_key: str, owner: Owner) -> Owner:
        key = _key(run_key, "owner")
        if await self._create(key, owner):
            return owner
        return await self._read(key, Owner) or owner

    async def _start(self, run_key: str, started: Started) -> Started:
        key = _key(run_key, "started")
        if await self._create(key, started):
            return started
        return await self._read(key, Started) or started

    async def _create(self, key: str, value: Value) -> bool:
        """Write a blob that is not there; False if it is. The store's create is atomic."""
        try:
            await self._blobs.write(key, value.model_dump_json().encode())
        except BlobExists:
            return False
        return True

    async def _read(self, key: str, kind: type[_V]) -> _V | None:
        try:
            return kind.model_validate_json(await self._blobs.read(key))
        except BlobMissing:
            return None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise StartUnreadable(key, f"{place}: {first['msg']}" if place else first["msg"]) from None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(run_key: str, name: str) -> str:
    return f"starts/{run_key}/{name}.json"
