"""Kerberos: SPNEGO tokens by the library `pyspnego`, from the ticket cache of the executor or a user and password."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from signalbox_executor.engines.port import EngineUnavailable


@dataclass(frozen=True)
class Spnego:
    """Sends a fresh token for `HTTP/<host>` with every request; the server answers in one step.

    Without a user the ticket cache that `KRB5CCNAME` names is used.
    """

    engine: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    async def headers(self, url: URL) -> Mapping[str, str]:
        """The header of one request. Raises `EngineUnavailable` where no ticket can be had."""
        try:
            token = await asyncio.to_thread(self._token, url.host or "")
        except (_NoTicket, ImportError, OSError) as error:
            reason = f"no Kerberos ticket for HTTP/{url.host}: {error}"
            raise EngineUnavailable(self.engine, reason[:1000], may_have_arrived=False) from error
        return {"Authorization": f"Negotiate {b64encode(token).decode()}"}

    def _token(self, host: str) -> bytes:
        import spnego  # a fifteenth of the executor's start, for servers with Kerberos only
        from spnego.exceptions import SpnegoError

        try:
            client = spnego.client(self.username, self.password, hostname=host, service="HTTP", protocol="kerberos")
            return client.step() or b""
        except SpnegoError as error:
            raise _NoTicket(error) from error


class _NoTicket(Exception):
    """What the library says."""
