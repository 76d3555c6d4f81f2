"""What engines report of runs, without the secrets those runs were given: results, and the reasons of their ends."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.isolation import describe_fault, note_fault
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.capabilities import RemembersSecrets
from signalbox_executor.engines.port import (
    Engine,
    EngineThrottled,
    EngineUnavailable,
    Observation,
    Watched,
    bounded,
)
from signalbox_executor.masking import Mask
from signalbox_executor.store import observe
from signalbox_executor.store.observe import Watch

MAX_AT_ONCE: Final = 8


class ReadsSecrets(Protocol):
    """Knows what references in work stand for."""

    async def values(self, work: Work) -> frozenset[str]: ...


@dataclass
class SecretsOfPass:
    """Secrets as one pass reads them: once the vault did not answer, nobody else waits for it."""

    secrets: ReadsSecrets
    _unavailable: EngineUnavailable | None = None

    async def values(self, work: Work) -> frozenset[str]:
        if self._unavailable is not None:
            raise self._unavailable
        try:
            return await self.secrets.values(work)
        except EngineUnavailable as error:
            self._unavailable = error
            raise


async def mask_of_run(secrets: ReadsSecrets, engine: Engine | None, watched: Watched, work: Work | None) -> Mask:
    """The values the run was given, as its engine remembers them, and those its references stand for now.

    Raises `EngineUnavailable` where neither engine nor vault knows them.
    """
    remembered = await engine.secrets(watched) if isinstance(engine, RemembersSecrets) else frozenset[str]()
    try:
        current = await secrets.values(work) if work is not None else frozenset[str]()
    except EngineUnavailable:
        if not remembered:
            raise
        current = frozenset[str]()
    return Mask(remembered | current)


def mask_message(mask: Mask, message: str) -> str:
    """A sentence for a person, with stars; no longer than a message may be."""
    return bounded(mask.clean_text(message))


@dataclass(frozen=True)
class ReportMasker:
    """Masks what is stored and published of runs that were given secrets."""

    database: Database
    secrets: ReadsSecrets

    async def clean(
        self, engine: Engine, watches: Sequence[Watch], seen: Mapping[str, Observation]
    ) -> dict[str, Observation]:
        """What was seen, masked. A run whose secrets cannot be read now is left out: it is looked at again."""
        cleaned = dict(seen)
        with_content = {
            watch.task_id: watch.watched
            for watch in watches
            if (one := seen.get(watch.watched.run_key)) is not None and (one.result is not None or one.message)
        }
        if not with_content:
            return cleaned
        async with self.database.connection() as connection:
            works = await observe.work_with_secrets(connection, list(with_content))
        at_once, secrets = asyncio.Semaphore(MAX_AT_ONCE), SecretsOfPass(self.secrets)

        async def clean_one(watched: Watched, work: Work | None) -> None:
            report = cleaned.pop(watched.run_key)
            async with at_once:
                masked = await self._masked(secrets, engine, watched, work, report)
            if masked is not None:
                cleaned[watched.run_key] = masked

        await asyncio.gather(*(clean_one(with_content[id], work) for id, work in works.items()))
        return cleaned

    async def _masked(
        self, secrets: ReadsSecrets, engine: Engine, watched: Watched, work: Work | None, report: Observation
    ) -> Observation | None:
        try:
            mask = await mask_of_run(secrets, engine, watched, work)
            return replace(report, result=mask.clean_json(report.result), message=mask_message(mask, report.message))
        except (EngineUnavailable, EngineThrottled, TimeoutError):
            return None
        except Exception as error:  # nobody knows its secrets, and one run must not stop the others
            note_fault("results", error)
            return _withheld(report, describe_fault(error))


def _withheld(report: Observation, why: str) -> Observation:
    """Without what the run wrote. Its success is none: what reads its result would read nothing."""
    failed = report.phase is Phase.SUCCEEDED and report.result is not None
    return replace(
        report,
        result=None,
        message=bounded(f"what it wrote is withheld, the secrets it was given are not known: {why}"),
        phase=Phase.FAILED if failed else report.phase,
        cause=EndCause.FAILED if failed else report.cause,
    )
