"""Secrets in work: resolved when a task is submitted, and nowhere else.

A reference may stand only where the engine shows it to nobody but the run: in a process's environment. The value goes
into the submission, which is neither stored nor logged by us; what it was is remembered by the engine, for masking.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg

from signalbox_chassis.security.vault import SecretMissing, SecretNotAllowed, SecretUnreadable, Vault
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.definitions.template import texts
from signalbox_contracts.definitions.work import ProcessWork, Work
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Submission

USE: Final = "work"
_REFERENCE: Final = re.compile(r"secret://([A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?)")
_WHO: Final = "secrets"


@dataclass(frozen=True)
class Secrets:
    """Where values come from; without a vault every reference is refused."""

    vault: Vault | None = None

    async def start(self) -> None:
        """Connects when first needed: a task without secrets does not wait for the vault."""

    async def stop(self) -> None:
        if self.vault is not None:
            await self.vault.stop()

    async def fill(self, submission: Submission) -> Submission:
        """The submission with values in place of references.

        Raises `EngineRefused` with field and name for what can never be resolved as it stands, `EngineUnavailable`
        (nothing was sent) while the vault does not answer.
        """
        work = submission.work
        if not secret_refs(work):
            return submission
        environment = _environment(work)
        names = secret_refs(environment)
        values = await self._read(names, environment)
        filled = {name: _REFERENCE.sub(lambda found: values[found[1]], text) for name, text in environment.items()}
        secrets = tuple(sorted(set(values.values())))
        return replace(submission, work=work.model_copy(update={"environment": filled}), secrets=secrets)

    async def values(self, work: Work) -> frozenset[str]:
        """What the references stand for now, as far as they can be read: to be masked. Raises `EngineUnavailable`."""
        found: set[str] = set()
        for name in secret_refs(work):
            try:
                found |= set((await self._read(frozenset((name,)), {})).values())
            except EngineRefused:  # deleted meanwhile: the engine remembers what the run was given
                continue
        return frozenset(found)

    async def _read(self, names: frozenset[str], environment: dict[str, str]) -> dict[str, str]:
        if self.vault is None:
            raise _refused(min(names), environment, "this executor has no vault: SIGNALBOX_SECRET_KEY and _SECRETS_URL")
        try:
            return await self.vault.read(names, USE)
        except (SecretMissing, SecretNotAllowed, SecretUnreadable) as error:
            raise _refused(error.name, environment, str(error)) from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            reason = f"the vault cannot be read: {type(error).__name__}"
            raise EngineUnavailable(_WHO, reason, may_have_arrived=False) from error


def _environment(work: Work) -> dict[str, str]:
    """The one place of a process's work where references may stand."""
    allowed = "a process's environment" if isinstance(work, ProcessWork) else "the environment of process work"
    for place, text in texts(_json(work), "work"):
        if _REFERENCE.search(text) and not (isinstance(work, ProcessWork) and place.startswith("work.environment.")):
            raise EngineRefused(
                _WHO, f"a secret may stand only in {allowed}: others would see it here", field=place, value="secret://…"
            )
    return dict(work.environment) if isinstance(work, ProcessWork) else {}


def _json(work: Work) -> dict[str, Any]:
    return work.model_dump(mode="json")


def _refused(name: str, environment: dict[str, str], why: str) -> EngineRefused:
    reference = f"secret://{name}"
    place = next((key for key, text in environment.items() if name in secret_refs(text)), "")
    field = f"work.environment.{place}" if place else "work"
    return EngineRefused(_WHO, why, field=field, value=reference)


class Mask:
    """Puts stars in place of secret values in a stream of bytes, of the same length, so that offsets stay true."""

    SHORTEST: Final = 6

    def __init__(self, secrets: frozenset[str]) -> None:
        said = {part.encode() for value in secrets for part in (value, value.strip())}
        self._values = sorted((value for value in said if len(value) >= self.SHORTEST), key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._values)

    def clean(self, data: bytes, *, last: bool) -> bytes:
        """What can be shown of `data`: shorter than it where its end may be the beginning of a secret, unless `last`.

        The next piece must begin where this one was cut.
        """
        for value in self._values:
            data = data.replace(value, b"*" * len(value))
        return data if last else data[: len(data) - self._beginning_at_the_end(data)]

    def _beginning_at_the_end(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a value."""
        longest = max((len(value) for value in self._values), default=1) - 1
        for size in range(min(longest, len(data)), 0, -1):
            if any(value.startswith(data[-size:]) for value in self._values):
                return size
        return 0
