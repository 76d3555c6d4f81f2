"""Oozie engines, as the registry knows them."""

from base64 import b64encode

import aiohttp

from signalbox_chassis.security.run_hints import hint_keys
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.engine import HttpAccess, OozieConnection
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.kind import EngineContext, EngineKind, EngineNotOpened, SecretResolver
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.oozie.notifications import Notifications
from signalbox_executor.engines.oozie.rerun import QUIET_SECONDS
from signalbox_executor.engines.oozie.rest import Anonymous, Authentication, FixedHeader, OozieRest
from signalbox_executor.engines.oozie.spnego import Spnego
from signalbox_executor.engines.oozie.storage import Storage
from signalbox_executor.engines.port import Engine


async def open_engine(definition: EngineDefinition, context: EngineContext) -> Engine:
    """The adapter. Raises `EngineNotOpened` for a way to sign in that is not built."""
    connection = definition.connection
    assert isinstance(connection, OozieConnection)
    access = connection.access
    signs_in_as = access.username if access.method == "none" and access.username else connection.user
    timeout = aiohttp.ClientTimeout(total=access.timeout_seconds)
    rest = OozieRest(
        definition.id,
        connection.url,
        session=lambda: context.http_session(timeout=timeout),
        user=signs_in_as,
        do_as=connection.user if signs_in_as != connection.user else None,
        authentication=await authentication(definition.id, access, context.secrets),
    )
    storage = Storage(
        session=lambda: context.http_session(timeout=timeout), webhdfs_url=connection.webhdfs_url,
        user=connection.user, local_files=connection.local_files,
    )  # fmt: skip
    # a call that is cut off while it waits for an earlier copy would be repeated for ever
    quiet_seconds = min(QUIET_SECONDS, context.settings.engine_timeout_seconds / 2)
    keys = hint_keys(context.settings.secret_key.get_secret_value())
    notifications = Notifications(definition.id, connection.notification_url, keys)
    return OozieEngine(rest, storage, notifications=notifications, quiet_seconds=quiet_seconds)


async def authentication(engine: str, access: HttpAccess, secrets: SecretResolver) -> Authentication:
    """How requests prove who we are; secret values are read once, when the engine is opened."""
    if access.method == "none":
        return Anonymous()
    if access.method == "kerberos":
        if (access.username is None) != (access.password is None):
            raise EngineNotOpened("access.username and access.password go together, or the ticket cache is used")
        password = (await secrets.resolve(access.password))[access.password] if access.password else None
        return Spnego(engine, access.username, password)
    if access.method == "bearer":
        if access.token is None:
            raise EngineNotOpened("access.token is missing: method 'bearer' needs it")
        return FixedHeader(f"Bearer {(await secrets.resolve(access.token))[access.token]}")
    if access.username is None or access.password is None:
        raise EngineNotOpened("access.username and access.password are needed for method 'basic'")
    password = (await secrets.resolve(access.password))[access.password]
    return FixedHeader(f"Basic {b64encode(f'{access.username}:{password}'.encode()).decode()}")


KIND = EngineKind(
    kind="oozie",
    open=open_engine,
    capabilities=frozenset(
        {
            Capability.REPORTS_KILLED,
            Capability.LINKS,
            Capability.REFUSES_WORK,
            Capability.LOGS,
            Capability.SUSPENDS,
            Capability.SELECTIONS,
            Capability.CONNECTION_TEST,
            Capability.JOB_CONTROL,
        }
    ),
)
