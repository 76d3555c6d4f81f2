"""Secrets in work: resolved when a task is submitted, and nowhere else.

A reference may stand only where the engine shows it to nobody but the run: each kind of engine names the places of its
work. The value goes into the submission, which is neither stored nor logged by us; what it was is remembered by the
engine, for masking. References in an engine's definition are resolved for its adapter.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg

from signalbox_chassis.security.vault import SecretMissing, SecretNotAllowed, SecretUnreadable, Use, Vault
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_contracts.definitions.template import texts
from signalbox_contracts.definitions.work import Work
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Submission

_REFERENCE: Final = re.compile(r"secret://([A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?)")
_WHO: Final = "secrets"


def _nowhere(kind: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Secrets:
    """Where values come from; without a vault every reference is refused."""

    vault: Vault | None = None
    places: Callable[[str], tuple[str, ...]] = _nowhere
    """Where secrets may stand in work of a kind: `field`, or `field.*` for the values of a mapping."""

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
        self._check_places(work)
        fields = {place.partition(".")[0] for place in self.places(work.kind)}
        parts = {name: part for name, part in work.model_dump().items() if name in fields}
        values = await self._read(secret_refs(parts), parts, "work")
        filled = {name: _filled(part, values) for name, part in parts.items()}
        secrets = tuple(sorted(set(values.values())))
        return replace(submission, work=work.model_copy(update=filled), secrets=secrets)

    async def resolve(self, *references: str) -> dict[str, str]:
        """The values that an engine's definition refers to, by reference. Raises as `fill` does."""
        values = await self._read(secret_refs(references), {}, "engine")
        return {f"secret://{name}": value for name, value in values.items()}

    async def versions(self, names: Collection[str]) -> Mapping[str, int]:
        """The version of each of these secrets that exists. Raises what the database raises."""
        return await self.vault.versions(names) if self.vault is not None and names else {}

    async def values(self, work: Work) -> frozenset[str]:
        """What the references stand for now, as far as they can be read: to be masked. Raises `EngineUnavailable`."""
        found: set[str] = set()
        for name in secret_refs(work):
            try:
                found |= set((await self._read((name,), {}, "work")).values())
            except EngineRefused:  # deleted meanwhile: the engine remembers what the run was given
                continue
        return frozenset(found)

    def _check_places(self, work: Work) -> None:
        """Refuse a reference outside of the places of this kind. Raises `EngineRefused`."""
        places = self.places(work.kind)
        for found, text in texts(work.model_dump(mode="json"), "work"):
            if _REFERENCE.search(text) and not any(_is_in(found, f"work.{place}") for place in places):
                allowed = f"in {', '.join(places)} of {work.kind} work" if places else f"nowhere in {work.kind} work"
                reason = f"a secret may stand only {allowed}: others would see it here"
                raise EngineRefused(_WHO, reason, field=found, value="secret://…")

    async def _read(self, names: Collection[str], parts: Mapping[str, Any], use: Use) -> dict[str, str]:
        if self.vault is None:
            raise _refused(min(names), parts, "this executor has no vault: SIGNALBOX_SECRET_KEY and _SECRETS_URL")
        try:
            return await self.vault.read(names, use)
        except (SecretMissing, SecretNotAllowed, SecretUnreadable) as error:
            raise _refused(error.name, parts, str(error)) from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            reason = f"the vault cannot be read: {type(error).__name__}"
            raise EngineUnavailable(_WHO, reason, may_have_arrived=False) from error


def _filled(part: Any, values: Mapping[str, str]) -> Any:
    """A field of the work with values in place of references."""
    if isinstance(part, str):
        return _REFERENCE.sub(lambda found: values[found[1]], part)
    if isinstance(part, Mapping):
        return {name: _filled(value, values) for name, value in part.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(part, list | tuple):
        return type(part)(_filled(value, values) for value in part)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return part


def _is_in(found: str, place: str) -> bool:
    return found == place or (place.endswith(".*") and found.startswith(place[:-1]))


def _refused(name: str, parts: Mapping[str, Any], why: str) -> EngineRefused:
    found = (place for place, text in texts(dict(parts), "work") if name in secret_refs(text))
    return EngineRefused(_WHO, why, field=next(found, "work"), value=f"secret://{name}")
