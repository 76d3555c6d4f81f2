"""Process engines, as the registry knows them."""

import asyncio
import logging
import os
from pathlib import Path

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import ProcessConnection
from signalbox_contracts.definitions.secrets import SECRET_PLACES
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.process.adapter import ProcessEngine, ProcessHost, load_host_id
from signalbox_executor.engines.process.permits import Permits, RunUser
from signalbox_executor.engines.process.prune import prune
from signalbox_executor.engines.process.settings import ProcessEngineSettings

log = logging.getLogger(__name__)


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Raises `EngineNotOpened` where this executor runs no processes."""
    host = process_host(context)
    if host is None:
        raise EngineNotOpened("this executor runs no processes: SIGNALBOX_PROCESS_FOLDER is empty")
    connection = definition.connection
    assert isinstance(connection, ProcessConnection)
    return ProcessEngine(host, connection.host_id)


def process_host(context: EngineContext) -> ProcessHost | None:
    """What the operator allows on this host; None if no processes run here."""
    settings = context.settings_of(ProcessEngineSettings)
    if not settings.process_folder:
        return None
    folder = Path(settings.process_folder)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    permits = Permits(
        programs=_paths(settings.process_programs),
        working_folders=_paths(settings.process_working_folders),
        variables=tuple(part for part in settings.process_variables.split(",") if part),
        user=_run_user(settings.process_user),
    )
    return ProcessHost(folder=folder, permits=permits, host_id=context.settings.host_id)


def host_id(context: EngineContext) -> str | None:
    """The id in the process folder, made if it has none. Raises `WrongHost`."""
    host = process_host(context)
    return load_host_id(host.folder, context.settings.host_id) if host else None


async def remove_old_runs(context: EngineContext) -> None:
    settings = context.settings_of(ProcessEngineSettings)
    if settings.process_folder:
        await asyncio.to_thread(prune, Path(settings.process_folder), settings.process_keep_days)


def _run_user(text: str) -> RunUser | None:
    """Who programs run as. Raises ValueError where the setting cannot be carried out."""
    is_root = os.geteuid() == 0
    if not text:
        if is_root:
            raise ValueError("SIGNALBOX_PROCESS_USER must say who programs run as: this executor is root")
        log.warning("programs run as the executor's own user: see docs/architecture/containment.md for what they reach")
        return None
    user = RunUser.of(text)
    if not is_root and user.uid != os.geteuid():
        raise ValueError(f"SIGNALBOX_PROCESS_USER is {text}: only an executor that is root can run programs as another")
    if user.uid == 0:
        log.warning("programs run as root: they can read and change everything on this host")
    return user if user.uid != os.geteuid() else None


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part.strip()) for part in text.split(",") if part.strip())


KIND = EngineKind(
    kind="process",
    open=open_engine,
    capabilities=frozenset(
        {
            Capability.EXIT_CODES,
            Capability.RESULTS,
            Capability.REPORTS_KILLED,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.SEALS,
            Capability.REMEMBERS_SECRETS,
            Capability.END_NOTICES,
        }
    ),
    secret_places=SECRET_PLACES["process"],
    settings=ProcessEngineSettings,
    upkeep=remove_old_runs,
    host_id=host_id,
)
