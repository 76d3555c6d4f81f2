"""The engines this process can talk to: made from their definitions, remade when those change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import ScriptedConnection
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.scripted.adapter import ScriptedEngine
from signalbox_executor.store.engines import Registered

OpenEngine = Callable[[EngineDefinition], Engine | None]
"""The adapter of a definition; None for a kind this executor has none for."""


def open_engine(definition: EngineDefinition) -> Engine | None:
    connection = definition.connection
    if isinstance(connection, ScriptedConnection):
        return ScriptedEngine(connection.url, name=definition.id)
    return None


@dataclass
class Directory:
    """Engines by id. `update` is called with what the database has; the rest only looks up."""

    open: OpenEngine = open_engine
    _engines: dict[str, tuple[int, Engine]] = field(default_factory=dict[str, tuple[int, Engine]])

    async def update(self, registered: Sequence[Registered]) -> None:
        """Open what is new or changed, and close what it replaces."""
        for engine in registered:
            known = self._engines.get(engine.id)
            if known is not None and known[0] == engine.revision:
                continue
            opened = self.open(engine.definition)
            if opened is not None:
                self._engines[engine.id] = (engine.revision, opened)
            if known is not None:
                await known[1].close()

    def get(self, engine_id: str) -> Engine | None:
        known = self._engines.get(engine_id)
        return known[1] if known else None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Let go of every connection; what runs on the engines runs on."""
        while self._engines:
            _, (_, engine) = self._engines.popitem()
            await engine.close()
