"""The engines this process can talk to: one line a kind; adapters are made from definitions, and again on a change."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from socket import gethostname
from typing import Final, NamedTuple

from signalbox_chassis.observability import logs
from signalbox_chassis.runtime.isolation import note_fault
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.secrets import secret_refs
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened, EngineSettings
from signalbox_executor.engines.port import Engine
from signalbox_executor.store.engines import Registered

log = logging.getLogger(__name__)
OPEN_SECONDS: Final = 10.0

_FOLDERS: Final = (
    "airflow",
    "check",
    "flink",
    "kubernetes",
    "oozie",
    "process",
    "scripted",
    "spark",
)
"""An engine is one folder beside this file; its line here makes it known."""


def _kind(folder: str) -> EngineKind:
    kind: object = import_module(f"signalbox_executor.engines.{folder}.kind").KIND
    assert isinstance(kind, EngineKind)
    return kind


KINDS: Final[Mapping[str, EngineKind]] = {kind.kind: kind for kind in map(_kind, _FOLDERS)}

OpenEngine = Callable[[EngineDefinition], Awaitable[Engine]]
"""Makes the adapter of a definition. Raises `EngineNotOpened`."""

SecretVersions = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]
"""The version of each of these secrets that exists."""


async def _no_versions(names: Collection[str]) -> Mapping[str, int]:
    return {}


def opener(context: EngineContext) -> OpenEngine:
    """Makes adapters of every kind in this context."""

    async def open_engine(definition: EngineDefinition) -> Engine:
        kind = KINDS.get(definition.connection.kind)
        if kind is None:
            raise EngineNotOpened(f"this executor has no adapter for engines of kind {definition.connection.kind}")
        return await kind.open(definition, context)

    return open_engine


def secret_places(kind: str) -> tuple[str, ...]:
    """Where secrets may stand in work of this kind."""
    found = KINDS.get(kind)
    return found.secret_places if found else ()


def load_settings(given: Iterable[EngineSettings] = ()) -> dict[type[EngineSettings], EngineSettings]:
    """The settings of every kind, read from the environment where they are not given. A wrong one exits with 2."""
    loaded: dict[type[EngineSettings], EngineSettings] = {type(one): one for one in given}
    for kind in KINDS.values():
        if kind.settings is not None and kind.settings not in loaded:
            loaded[kind.settings] = kind.settings.load()
    for settings in loaded.values():
        for secret in settings.secrets():
            logs.hide(secret)
    return loaded


def host_id(context: EngineContext) -> str:
    """What this host is called: as set, else as an engine that belongs to a host says, else by the host's name."""
    found = [kind.host_id(context) for kind in KINDS.values() if kind.host_id is not None]
    return next((one for one in found if one), context.settings.host_id or gethostname())


async def keep_up(context: EngineContext) -> None:
    """Let every kind remove what it keeps outside of the database and needs no more."""
    for kind in KINDS.values():
        if kind.upkeep is not None:
            try:
                await kind.upkeep(context)
            except OSError as error:
                log.warning("upkeep of %s engines failed: %s", kind.kind, error)


class _Opened(NamedTuple):
    """An adapter, and what it was opened with."""

    revision: int
    secrets: Mapping[str, int]
    """The versions of the secrets that its definition names, as they were before it was opened."""
    engine: Engine


@dataclass
class EngineRegistry:
    """Engines by id. `update` is called with what the database has, `find_rotated` looks at the vault; the rest only
    looks up."""

    open: OpenEngine
    close_after_seconds: float = 60.0
    """Calls under way may use an adapter for so long after it was replaced: then they have ended by themselves."""
    secret_versions: SecretVersions = _no_versions
    _replaced: list[tuple[float, Engine]] = field(default_factory=list[tuple[float, Engine]])
    _engines: dict[str, _Opened] = field(default_factory=dict[str, _Opened])
    _rotated: set[str] = field(default_factory=set[str])
    _not_opened: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])

    async def update(self, registered: Sequence[Registered]) -> None:
        """Open what is new or changed, also by a secret, and close what was replaced long ago."""
        now = time.monotonic()
        due = [engine for until, engine in self._replaced if until <= now]
        self._replaced = [one for one in self._replaced if one[0] > now]
        for replaced in due:
            await _close(replaced)
        changed = [one for one in registered if one.id in self._rotated or not self._is_current(one)]
        # at the same time: each of them may take as long as its secrets do
        for engine, opened in zip(changed, await asyncio.gather(*map(self._open, changed)), strict=True):
            if opened is None and self._is_current(engine):
                continue  # only a secret changed, and cannot be read: the old one may still be good
            self._rotated.discard(engine.id)
            known = self._engines.pop(engine.id, None)
            if opened is not None:
                self._engines[engine.id] = opened
            if known is not None:
                self._replaced.append((now + self.close_after_seconds, known.engine))

    async def find_rotated(self) -> None:
        """Find engines whose secrets have other versions than they were opened with: `update` opens them again."""
        names = {name for opened in self._engines.values() for name in opened.secrets}
        versions = await self.secret_versions(names)
        for id, opened in self._engines.items():
            if any(versions.get(name) != version for name, version in opened.secrets.items()):
                self._rotated.add(id)

    def _is_current(self, engine: Registered) -> bool:
        """Whether the adapter is that of this revision of the definition."""
        known = self._engines.get(engine.id)
        return known is not None and known.revision == engine.revision

    def get(self, engine_id: str) -> Engine | None:
        known = self._engines.get(engine_id)
        return known.engine if known else None

    def why_not(self, engine_id: str) -> str:
        """Why an engine could not be opened here; empty for one that was, or that is not known."""
        return self._not_opened.get(engine_id, (0, ""))[1]

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Let go of every connection; what runs on the engines runs on."""
        engines = [engine for _, engine in self._replaced] + [opened.engine for opened in self._engines.values()]
        self._replaced.clear()
        self._engines.clear()
        for engine in engines:
            await _close(engine)

    async def _open(self, engine: Registered) -> _Opened | None:
        """One engine that cannot be opened must not keep the others from it: it is tried again with each update."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                versions = await self.secret_versions(secret_refs(engine.definition))
                opened = await self.open(engine.definition)
        except EngineNotOpened as error:
            self._note(engine, error.reason, logging.DEBUG)
        except Exception as error:
            self._note(engine, f"{type(error).__name__}: {error}", logging.WARNING)
        else:
            self._not_opened.pop(engine.id, None)
            return _Opened(engine.revision, versions, opened)
        return None

    def _note(self, engine: Registered, reason: str, level: int) -> None:
        if self._not_opened.get(engine.id) != (engine.revision, reason):
            log.log(level, "engine %s is not opened: %s", engine.id, reason)
        self._not_opened[engine.id] = (engine.revision, reason)


async def _close(engine: Engine) -> None:
    """One that cannot be closed keeps no other engine from what was meant for it."""
    try:
        await engine.close()
    except Exception as error:
        note_fault("replaced engines", error)
