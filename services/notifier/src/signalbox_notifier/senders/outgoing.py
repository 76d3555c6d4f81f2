"""What every sender works with, and how an answer is read within bounds."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import UUID

import aiohttp

from signalbox_chassis.security.egress import AddressRefused
from signalbox_chassis.security.vault import SecretMissing, SecretNotAllowed, SecretUnreadable, Vault
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.notifications import Message
from signalbox_notifier.retries import Failed, Gone, Result
from signalbox_notifier.settings import NotifierSettings

MAX_ANSWER_BYTES: Final = 2048
USER_AGENT: Final = "Signalbox"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way. `id` is the same at every try."""

    id: UUID
    message: Message
    traceparent: str | None = None
    edits: str = ""
    """The message of the channel that this one replaces, where the channel can edit."""


@dataclass
class Senders:
    """The connections of one process: a guarded HTTP session, the vault, the settings."""

    http: aiohttp.ClientSession
    vault: Vault | None
    settings: NotifierSettings

    async def secret(self, reference: str) -> str:
        """The value of `secret://name`. Raises `SecretUnavailable`."""
        names: Collection[str] = secret_refs(reference)
        if self.vault is None:
            raise SecretUnavailable("no vault is configured for the notifier")
        try:
            values = await self.vault.read(names, "channel")
        except (SecretMissing, SecretNotAllowed, SecretUnreadable) as error:
            raise SecretUnavailable(str(error)) from None
        (value,) = values.values()
        return value


class SecretUnavailable(Exception):
    """A secret of the channel cannot be read; the text says why and names it."""


async def read_answer(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer's body: an endless one is cut off."""
    body = await read_bounded(response, MAX_ANSWER_BYTES)
    text = body.decode(errors="replace").strip()
    return f"HTTP {response.status}" + (f": {text[:500]}" if text else "")


async def read_bounded(response: aiohttp.ClientResponse, size: int) -> bytes:
    """At most so many bytes of an answer's body, in however many pieces they come."""
    pieces: list[bytes] = []
    missing = size
    while missing > 0 and (piece := await response.content.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """`Retry-After`, which is seconds or a date, in seconds; None when there is none that can be read."""
    given = response.headers.get("Retry-After", "")
    try:
        seconds = float(given)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(given)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def failure(error: Exception) -> Result:
    """What an exception of a try means."""
    if isinstance(error, AddressRefused | SecretUnavailable):
        return Gone(str(error)[:1000])
    if isinstance(error, aiohttp.InvalidURL):
        return Gone(f"not an address: {error}"[:1000])
    if isinstance(error, TimeoutError):
        return Failed("no answer in time")
    return Failed(f"{type(error).__name__}: {error}"[:1000])
