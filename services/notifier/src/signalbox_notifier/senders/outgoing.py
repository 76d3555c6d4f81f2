"""What every sender works with, and how an answer is read within bounds."""

from collections.abc import Collection
from dataclasses import dataclass
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
    body = await response.content.read(MAX_ANSWER_BYTES)
    text = body.decode(errors="replace").strip()
    return f"HTTP {response.status}" + (f": {text[:500]}" if text else "")


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """`Retry-After` in seconds; None when there is none that can be read."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return None


def failure(error: Exception) -> Result:
    """What an exception of a try means."""
    if isinstance(error, AddressRefused | SecretUnavailable):
        return Gone(str(error)[:1000])
    if isinstance(error, aiohttp.InvalidURL):
        return Gone(f"not an address: {error}"[:1000])
    if isinstance(error, TimeoutError):
        return Failed("no answer in time")
    return Failed(f"{type(error).__name__}: {error}"[:1000])
