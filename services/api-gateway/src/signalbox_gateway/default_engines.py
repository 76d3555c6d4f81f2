"""Engines that the environment names: registered when the gateway starts, kept as the environment says."""

from dataclasses import dataclass

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.definitions.engine import AirflowConnection, Engine, FlinkConnection, KubernetesConnection
from signalbox_contracts.definitions.placement import DEFAULT_LABEL
from signalbox_gateway.definitions import publish, store
from signalbox_gateway.settings import GatewaySettings

ACTOR = "service:api-gateway"


def named_engines(settings: GatewaySettings) -> list[Engine]:
    """The engines that the environment names, each the default of its kind."""
    engines: list[Engine] = []
    if settings.flink_jobmanager_url:
        engines.append(
            Engine(
                id="flink", name="Flink, as FLINK_JOBMANAGER_URL says", labels={DEFAULT_LABEL: "true"},
                connection=FlinkConnection(url=settings.flink_jobmanager_url),
            )
        )  # fmt: skip
    if settings.airflow_url:
        engines.append(
            Engine(
                id="airflow", name="Airflow, as AIRFLOW_URL says", labels={DEFAULT_LABEL: "true"},
                connection=AirflowConnection(url=settings.airflow_url),
            )
        )  # fmt: skip
    if settings.k8s_config_path:
        engines.append(
            Engine(
                id="kubernetes", name="Kubernetes, as K8S_CONFIG_PATH says", labels={DEFAULT_LABEL: "true"},
                connection=KubernetesConnection(
                    config=settings.k8s_config_path, namespace=settings.k8s_namespace,
                    node_selector=settings.node_selector, max_parallel_workers=settings.k8s_max_parallel_workers,
                ),
            )
        )  # fmt: skip
    return engines


@dataclass
class DefaultEngines:
    """Registers them. What a person changed is left as that person made it."""

    database: Database
    clock: Clock
    settings: GatewaySettings

    async def one_pass(self) -> None:
        """Save each engine that is not there, or whose address changed in the environment."""
        for engine in named_engines(self.settings):
            async with self.database.unit_of_work() as work:
                await publish.lock(work.connection)
                stored = await store.find(work.connection, "engine", engine.id)
                saved = stored.read_if_possible() if stored else None
                as_named = saved is not None and saved.definition == engine
                if stored is None or (stored.updated_by == ACTOR and not as_named):
                    await store.save(work, engine, actor=ACTOR, at=self.clock.now(), reason="named by the environment")
