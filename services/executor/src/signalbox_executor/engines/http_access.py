"""How an engine's REST API is reached: our credentials, the certificates to trust, and what a failed request means."""

import base64
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import aiohttp

from signalbox_chassis.security.egress import AddressRefused
from signalbox_contracts.definitions.engine import HttpAccess
from signalbox_executor.engines.kind import EngineContext, EngineNotOpened
from signalbox_executor.engines.port import EngineUnavailable


async def headers_of(
    access: HttpAccess, context: EngineContext, *, engines: str
) -> tuple[dict[str, str], ssl.SSLContext | None]:
    """For `none`, `basic` and `bearer`. Raises `EngineNotOpened` for Kerberos, which `engines` have not."""
    if access.method == "kerberos":
        raise EngineNotOpened(f"{engines} are reached with none, basic or bearer, not with Kerberos")
    fields = {"password": access.password, "token": access.token, "ca_certificate": access.ca_certificate}
    wanted = {name: reference for name, reference in fields.items() if reference}
    values: Mapping[str, str] = await context.secrets.resolve(*wanted.values()) if wanted else {}
    found = {name: values[reference] for name, reference in wanted.items()}
    headers: dict[str, str] = {}
    if access.method == "basic":
        pair = f"{access.username or ''}:{found.get('password', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif access.method == "bearer":
        headers["Authorization"] = f"Bearer {found.get('token', '')}"
    certificate = found.get("ca_certificate")
    return headers, ssl.create_default_context(cadata=certificate) if certificate else None


@contextmanager
def request_errors(engine: str) -> Generator[None]:
    """Turns what a request to `engine` raises into `EngineUnavailable`.

    Without a connection nothing was sent: an address that is refused, a connection or a TLS handshake that fails, and a
    connection that is not made in time.
    """
    try:
        yield
    except (AddressRefused, aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise EngineUnavailable(engine, str(error), may_have_arrived=False) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineUnavailable(engine, f"{type(error).__name__}: {error}") from error
    except ValueError as error:
        raise EngineUnavailable(engine, f"an answer that cannot be read: {error}") from error
