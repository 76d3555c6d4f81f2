"""Spark, as the registry knows it: a standalone master's REST server, or Livy."""

import logging
from datetime import datetime, timedelta

import aiohttp

from signalbox_chassis.blobs import Blobs, BlobStoreFailed
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import SparkConnection
from signalbox_contracts.definitions.secrets import SECRET_PLACES
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.http_access import headers_of
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened
from signalbox_executor.engines.port import Engine
from signalbox_executor.engines.spark.adapter import StandaloneEngine, StandaloneParts
from signalbox_executor.engines.spark.event_log import EventLogs
from signalbox_executor.engines.spark.http import SparkHttp
from signalbox_executor.engines.spark.livy import Livy
from signalbox_executor.engines.spark.livy_adapter import LivyEngine, LivyParts
from signalbox_executor.engines.spark.master import Master, default_master_url
from signalbox_executor.engines.spark.records import FOLDER
from signalbox_executor.engines.spark.requests import Target
from signalbox_executor.engines.spark.settings import SparkEngineSettings

log = logging.getLogger(__name__)


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Raises `EngineNotOpened` where runs could not be recorded."""
    if context.blobs is None:
        raise EngineNotOpened("Spark engines keep their runs in the blob store: SIGNALBOX_BLOB_URL is empty")
    connection, settings = definition.connection, context.settings_of(SparkEngineSettings)
    assert isinstance(connection, SparkConnection)
    headers, certificates = await headers_of(connection.access, context, engines="Spark engines")

    def open_session() -> aiohttp.ClientSession:
        return context.http_session(headers={**headers, "X-Requested-By": "signalbox"})

    http = SparkHttp(
        definition.id, open_session, timeout_seconds=connection.access.timeout_seconds, certificates=certificates
    )
    if connection.api == "livy":
        livy = Livy(http, definition.id, connection.url)
        return LivyEngine(
            LivyParts(name=definition.id, livy=livy, blobs=context.blobs, clock=context.clock, conf=connection.conf)
        )
    target = Target(
        name=definition.id, master_url=connection.master_url or default_master_url(connection.url),
        version=connection.spark_version or "4.0.0", conf=connection.conf,
    )  # fmt: skip
    return StandaloneEngine(
        StandaloneParts(
            target=target, master=Master(http, definition.id, connection.url, connection.web_url),
            blobs=context.blobs, clock=context.clock, start_url=connection.start_url,
            claim_seconds=settings.spark_claim_seconds,
            event_logs=EventLogs(Blobs(settings.spark_event_log_url)) if settings.spark_event_log_url else None,
        )
    )  # fmt: skip


async def remove_old(context: EngineContext) -> None:
    """Remove records and claims of runs that ended long ago."""
    if context.blobs is None:
        return
    days = context.settings_of(SparkEngineSettings).spark_keep_days
    before = context.clock.now() - timedelta(days=days)
    for folder in (FOLDER, "starts"):
        await remove_older(context.blobs, folder, before)


async def remove_older(blobs: Blobs, folder: str, before: datetime, *, page_size: int = 1000) -> None:
    """Remove what is older, page by page: a folder may hold a million claims."""
    try:
        async for page in blobs.pages(folder, size=page_size):
            for blob in page:
                if blob.modified_at < before:
                    await blobs.delete(blob.key)
    except BlobStoreFailed as error:
        log.warning("old records of Spark runs are not removed now: %s", error)


KIND = EngineKind(
    kind="spark",
    open=open_engine,
    capabilities=frozenset(
        {
            Capability.RESULTS,
            Capability.REPORTS_KILLED,
            Capability.LINKS,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.SEALS,
            Capability.PROGRESS,
            Capability.CONNECTION_TEST,
            Capability.WAITING,
        }
    ),
    secret_places=SECRET_PLACES["spark"],
    settings=SparkEngineSettings,
    upkeep=remove_old,
)
