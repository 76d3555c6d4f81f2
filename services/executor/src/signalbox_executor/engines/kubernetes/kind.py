"""Kubernetes engines, as the registry knows them."""

from collections.abc import Mapping
from typing import Any

from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import KubernetesConnection
from signalbox_contracts.definitions.secrets import SECRET_PLACES
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened
from signalbox_executor.engines.kubernetes import access
from signalbox_executor.engines.kubernetes.adapter import KubernetesEngine
from signalbox_executor.engines.kubernetes.api import KubernetesApi
from signalbox_executor.engines.kubernetes.manifest import Placement
from signalbox_executor.engines.kubernetes.settings import KubernetesEngineSettings
from signalbox_executor.engines.port import Engine, EngineRefused, EngineUnavailable


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Raises `EngineNotOpened` for a kubeconfig that cannot be used."""
    connection, settings = definition.connection, context.settings_of(KubernetesEngineSettings)
    assert isinstance(connection, KubernetesConnection)
    try:
        configuration, guard = await _access(connection, settings, context)
    except (access.KubeconfigRefused, EngineRefused, EngineUnavailable) as error:
        raise EngineNotOpened(str(error)) from error
    api = KubernetesApi(
        configuration,
        guard,
        name=definition.id,
        namespace=connection.namespace,
        timeout_seconds=settings.kubernetes_timeout_seconds,
    )
    placement = Placement(
        namespace=connection.namespace,
        node_selector=connection.node_selector,
        max_parallel_workers=connection.max_parallel_workers,
        key_retention_seconds=definition.key_retention_seconds,
    )
    return KubernetesEngine(api, placement)


async def _access(
    connection: KubernetesConnection, settings: KubernetesEngineSettings, context: EngineContext
) -> tuple[Any, EgressGuard]:
    """The library's configuration, and what it may call: any address an operator chose, else what users may name."""
    if connection.server is not None:
        references = [one for one in (connection.token, connection.ca_certificate) if one]
        values: Mapping[str, str] = await context.secrets.resolve(*references) if references else {}
        token, authority = values.get(connection.token or ""), values.get(connection.ca_certificate or "")
        return await access.from_token(connection.server, token, authority), context.guard
    if connection.config.startswith("secret://"):
        content = (await context.secrets.resolve(connection.config))[connection.config]
        return await access.from_secret(content, connection.context), context.guard
    if connection.config != access.LOCAL and connection.config not in settings.allowed_files:
        raise access.KubeconfigRefused(
            f"{connection.config} is no file the operator allowed (SIGNALBOX_KUBERNETES_CONFIG_FILES)"
        )
    configuration = await access.from_host(connection.config, connection.context)
    return configuration, EgressGuard([access.authority(configuration.host)])


KIND = EngineKind(
    kind="kubernetes",
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
            Capability.SUSPENDS,
            Capability.PROGRESS,
            Capability.CONNECTION_TEST,
            Capability.WAITING,
        }
    ),
    secret_places=SECRET_PLACES["kubernetes"],
    settings=KubernetesEngineSettings,
)
