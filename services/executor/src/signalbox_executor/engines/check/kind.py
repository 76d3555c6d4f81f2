"""Check engines, as the registry knows them."""

import asyncio
import os
from pathlib import Path
from typing import Final

from signalbox_contracts.definitions.engine import CheckConnection
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.check.adapter import PYTHON, CheckEngine
from signalbox_executor.engines.check.probes import Limits
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.process.adapter import ProcessEngine, ProcessHost
from signalbox_executor.engines.process.kind import process_host
from signalbox_executor.engines.process.permits import Permits
from signalbox_executor.engines.process.prune import prune
from signalbox_executor.engines.process.settings import ProcessEngineSettings

FOLDER: Final = "checks"
"""Below the folder of process engines: checks have their own runs."""


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Raises `EngineNotOpened` where this executor runs no processes."""
    host = process_host(context)
    if host is None:
        raise EngineNotOpened("this executor runs no checks: SIGNALBOX_PROCESS_FOLDER is empty")
    connection = definition.connection
    assert isinstance(connection, CheckConnection)
    folder = host.folder / FOLDER
    folder.mkdir(0o700, parents=True, exist_ok=True)
    # the variables are the operator's own: none of them is refused
    program = Permits(programs=(Path(PYTHON),), variables=("AWS_*",))
    own = ProcessHost(folder=folder, permits=program, host_id=context.settings.host_id)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    limits = Limits(guard=context.guard, folders=host.permits.working_folders, environment=environment)
    return CheckEngine(ProcessEngine(own, connection.host_id), limits, context.settings.egress_allow)


async def remove_old_runs(context: EngineContext) -> None:
    """The folders of checks go as those of processes do."""
    settings = context.settings_of(ProcessEngineSettings)
    folder = Path(settings.process_folder) / FOLDER
    if settings.process_folder and folder.is_dir():
        await asyncio.to_thread(prune, folder, settings.process_keep_days)


KIND = EngineKind(
    kind="check",
    open=open_engine,
    capabilities=frozenset(
        {
            Capability.REPORTS_KILLED,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.SEALS,
            Capability.REMEMBERS_SECRETS,
        }
    ),
    upkeep=remove_old_runs,
)
