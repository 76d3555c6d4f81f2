"""Scripted engines, as the registry knows them."""

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import ScriptedConnection
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.kind import EngineContext, EngineKind
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.scripted.adapter import ScriptedCopies, ScriptedEngine


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter: one that knows copies of a submit, or one that does not."""
    connection = definition.connection
    assert isinstance(connection, ScriptedConnection)
    adapter = ScriptedEngine if connection.remembers_keys else ScriptedCopies
    return adapter(connection.url, name=definition.id, http_session=context.http_session)


KIND = EngineKind(
    kind="scripted",
    open=open_engine,
    capabilities=frozenset(
        {
            Capability.EXIT_CODES,
            Capability.RESULTS,
            Capability.REPORTS_KILLED,
            Capability.LINKS,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.SEALS,
        }
    ),
)
