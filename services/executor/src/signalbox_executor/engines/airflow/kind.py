"""Airflow engines, as the registry knows them."""

from signalbox_contracts.definitions.engine import AirflowConnection
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.airflow.client import AirflowClient, Credentials, CredentialsSource
from signalbox_executor.engines.airflow.settings import AirflowSettings
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened, SecretResolver
from signalbox_executor.engines.port import Engine


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Its secrets are read at each login, so that a changed password needs no restart."""
    connection = definition.connection
    assert isinstance(connection, AirflowConnection)
    access = connection.access
    if access.method == "kerberos":
        raise EngineNotOpened("connection.access.method 'kerberos' is not possible: basic and bearer are")
    client = AirflowClient(
        connection.url,
        credentials_of(connection, context.secrets, context.settings_of(AirflowSettings)),
        name=definition.id,
        version=connection.version,
        timeout_seconds=access.timeout_seconds,
        http_session=context.http_session,
    )
    return AirflowEngine(client)


def credentials_of(
    connection: AirflowConnection, secrets: SecretResolver, settings: AirflowSettings
) -> CredentialsSource:
    """Who we are: a token of its own (`bearer`), or username and password, the operator's for the default Airflow."""
    access = connection.access
    is_default = bool(settings.airflow_url) and connection.url.rstrip("/") == settings.airflow_url.rstrip("/")

    async def read() -> Credentials:
        if access.method == "none" and is_default:
            return Credentials(settings.airflow_username, settings.airflow_password.get_secret_value())
        if access.method == "bearer" and access.token:
            return Credentials(token=(await secrets.resolve(access.token))[access.token])
        password = (await secrets.resolve(access.password))[access.password] if access.password else ""
        return Credentials(access.username or "", password)

    return read


KIND = EngineKind(
    kind="airflow",
    open=open_engine,
    settings=AirflowSettings,
    capabilities=frozenset(
        {
            Capability.RESULTS,
            Capability.REPORTS_KILLED,
            Capability.LINKS,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.RERUNS,
            Capability.PROGRESS,
            Capability.CONNECTION_TEST,
            Capability.WAITING,
            Capability.NOTES,
            Capability.DAGS,
            Capability.SELECTIONS,
        }
    ),
)
