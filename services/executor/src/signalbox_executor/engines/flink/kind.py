"""Flink clusters, as the registry knows them."""

from datetime import timedelta
from typing import Final

import aiohttp

from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import FlinkConnection
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.flink.adapter import FlinkEngine, FlinkParts
from signalbox_executor.engines.flink.artifacts import Artifacts, FetchLimits
from signalbox_executor.engines.flink.rest import JobManager
from signalbox_executor.engines.flink.sending import SEND_SECONDS
from signalbox_executor.engines.flink.settings import FlinkEngineSettings
from signalbox_executor.engines.http_access import headers_of
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened
from signalbox_executor.engines.port import Engine

JAR_NAME: Final = "data-processor.jar"


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Raises `EngineNotOpened` where JARs could not be kept."""
    if context.blobs is None:
        raise EngineNotOpened("Flink engines keep JARs in the blob store: SIGNALBOX_BLOB_URL is empty")
    connection, settings = definition.connection, context.settings_of(FlinkEngineSettings)
    assert isinstance(connection, FlinkConnection)
    headers, certificates = await headers_of(connection.access, context, engines="Flink engines")

    def open_session() -> aiohttp.ClientSession:
        return context.http_session(headers=headers)

    return FlinkEngine(
        FlinkParts(
            engine_id=definition.id,
            job_manager=JobManager(
                connection.url, name=definition.id, open_session=open_session,
                timeout_seconds=connection.access.timeout_seconds, certificates=certificates,
            ),
            artifacts=Artifacts(
                context.blobs, context.http_session, context.clock,
                FetchLimits(max_bytes=settings.flink_jar_max_bytes, seconds=settings.flink_jar_seconds),
            ),
            blobs=context.blobs,
            clock=context.clock,
            default_jar_url=default_jar_url(settings.data_processor_url),
            keep_jars=timedelta(hours=settings.flink_jar_keep_hours),
            # a submit that is cut off counts as sent: it has to come back before that
            wait_seconds=min(SEND_SECONDS, context.settings.engine_timeout_seconds / 2),
        )
    )  # fmt: skip


def default_jar_url(data_processor_url: str) -> str:
    """The JAR of a job that names none."""
    url = data_processor_url.rstrip("/")
    return url if url.endswith(".jar") else f"{url}/{JAR_NAME}"


KIND = EngineKind(
    kind="flink",
    open=open_engine,
    capabilities=frozenset(
        {
            Capability.REPORTS_KILLED,
            Capability.LINKS,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.SAVEPOINTS,
            Capability.ARTIFACTS,
            Capability.PROGRESS,
            Capability.CONNECTION_TEST,
            Capability.WAITING,
        }
    ),
    settings=FlinkEngineSettings,
)
