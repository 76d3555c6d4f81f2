"""The engines this process can talk to: made from their definitions, remade when those change."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import ProcessConnection, ScriptedConnection
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.process.adapter import ProcessEngine, ProcessSettings, load_host_id
from signalbox_executor.engines.process.permits import Permits
from signalbox_executor.engines.process.prune import prune
from signalbox_executor.engines.scripted.adapter import ScriptedCopies, ScriptedEngine
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store.engines import Registered

OpenEngine = Callable[[EngineDefinition], Engine | None]
"""The adapter of a definition; None for a kind this executor has none for."""


def opener(settings: ExecutorSettings) -> OpenEngine:
    """Makes adapters as the operator's settings say."""
    guard, processes = settings.guard(), process_settings(settings)

    def open_engine(definition: EngineDefinition) -> Engine | None:
        connection = definition.connection
        if isinstance(connection, ScriptedConnection):
            kind = ScriptedEngine if connection.remembers_keys else ScriptedCopies
            return kind(connection.url, name=definition.id, guard=guard)
        if isinstance(connection, ProcessConnection) and processes is not None:
            return ProcessEngine(processes, connection.host_id)
        return None

    return open_engine


def process_settings(settings: ExecutorSettings) -> ProcessSettings | None:
    """What the operator allows here; None if no processes run here."""
    if not settings.process_folder:
        return None
    folder = Path(settings.process_folder)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    permits = Permits(
        programs=_paths(settings.process_programs), working_folders=_paths(settings.process_working_folders)
    )
    return ProcessSettings(folder=folder, permits=permits, host_id=settings.host_id)


def host_id(settings: ExecutorSettings) -> str:
    """What this host is called: as set, else as its process folder says, else by its name. Raises `WrongHost`."""
    processes = process_settings(settings)
    if processes is not None:
        return load_host_id(processes.folder, settings.host_id)
    return settings.host_id or gethostname()


async def prune_runs(settings: ExecutorSettings) -> None:
    """Remove what processes of long ago left on this host."""
    if settings.process_folder:
        await asyncio.to_thread(prune, Path(settings.process_folder), settings.process_keep_days)


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part.strip()) for part in text.split(",") if part.strip())


@dataclass
class Directory:
    """Engines by id. `update` is called with what the database has; the rest only looks up."""

    open: OpenEngine
    patience_seconds: float = 60.0
    """Calls under way may go on so long with an adapter that was replaced: then they have ended by themselves."""
    _replaced: list[tuple[float, Engine]] = field(default_factory=list[tuple[float, Engine]])
    _engines: dict[str, tuple[int, Engine]] = field(default_factory=dict[str, tuple[int, Engine]])

    async def update(self, registered: Sequence[Registered]) -> None:
        """Open what is new or changed, and close what was replaced long ago."""
        now = time.monotonic()
        for _, replaced in [one for one in self._replaced if one[0] <= now]:
            await replaced.close()
        self._replaced = [one for one in self._replaced if one[0] > now]
        for engine in registered:
            known = self._engines.get(engine.id)
            if known is not None and known[0] == engine.revision:
                continue
            opened = self.open(engine.definition)
            if opened is not None:
                self._engines[engine.id] = (engine.revision, opened)
            elif known is not None:
                del self._engines[engine.id]
            if known is not None:
                self._replaced.append((now + self.patience_seconds, known[1]))

    def get(self, engine_id: str) -> Engine | None:
        known = self._engines.get(engine_id)
        return known[1] if known else None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Let go of every connection; what runs on the engines runs on."""
        engines = [engine for _, engine in (*self._replaced, *self._engines.values())]
        self._replaced.clear()
        self._engines.clear()
        for engine in engines:
            await engine.close()
