"""Calls of a Kubernetes API server: bounded answers as plain JSON, refusals as `ApiRefusal`, failures as the port's.

The client library brings credentials and TLS. Its object models are not used: one object they cannot read would cost
the complete list it came in.
"""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from pydantic import Field, ValidationError
from pydantic_core import from_json

from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable, bounded

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
PAGE_OBJECTS: Final = 250
"""Objects of one page of a list."""
RETRY_AFTER_SECONDS: Final = 5.0
MAX_RETRY_AFTER_SECONDS: Final = 600.0
_MERGE: Final = "application/merge-patch+json"


class Cause(Value):
    """One thing that is wrong with an object."""

    field: str = ""
    reason: str = ""
    message: str = ""


class StatusDetails(Value):
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: float = Field(default=0, alias="retryAfterSeconds")


class Status(Value):
    """The body of every answer that is no success."""

    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


@dataclass
class ApiRefusal(Exception):
    """The server answered, and did not do it. It never leaves this folder."""

    code: int
    reason: str
    message: str
    causes: tuple[Cause, ...] = ()

    def __str__(self) -> str:
        return self.message or self.reason or f"status {self.code}"


class KubernetesApi:
    """One namespace of one cluster. `name` is the engine's, for messages."""

    def __init__(
        self, configuration: Any, guard: EgressGuard, *, name: str, namespace: str, timeout_seconds: float
    ) -> None:
        from kubernetes_asyncio.client import ApiClient  # takes two seconds: only where a cluster is registered

        self.name = name
        self.namespace = namespace
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._client: Any = ApiClient(configuration)
        self._library_session: aiohttp.ClientSession | None = self._client.rest_client.pool_manager
        self._client.rest_client.pool_manager = guard.session(
            ssl=_tls(configuration), limit=64, read_bufsize=2**21, max_line_size=32_768
        )

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return await self._json("GET", path, query)

    async def text(self, path: str, **query: str | int) -> bytes:
        """A body that is no JSON; empty where the server has nothing yet (204)."""
        with request_errors(self.name):
            response = await self._send("GET", path, query, None, self._timeout)
            try:
                if not 200 <= response.status < 300:
                    await self._refuse(response)
                return await self._read(response)
            finally:
                response.release()

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create with strict validation: a field the server does not know is an error, not silence."""
        return await self._json("POST", path, {"fieldValidation": "Strict"}, body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A merge patch; with `metadata.resourceVersion` in it the object must not have changed since."""
        return await self._json("PATCH", path, {"fieldValidation": "Strict"}, body)

    async def delete(self, path: str, uid: str) -> None:
        """Delete this very object, and in the background all it owns."""
        await self._json("DELETE", path, {}, {"propagationPolicy": "Background", "preconditions": {"uid": uid}})

    @asynccontextmanager
    async def stream(
        self, path: str, *, idle_seconds: float, **query: str | int
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """An answer that is read as it comes; the server may be silent for `idle_seconds`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.total, sock_read=idle_seconds)
        with request_errors(self.name):
            response = await self._send("GET", path, query, None, timeout)
            try:
                if response.status != 200:
                    await self._refuse(response)
                yield response
            finally:
                if response.connection is not None and response.connection.transport is not None:
                    response.connection.transport.abort()  # a close would wait for the server's good-bye
                response.close()

    def path(self, kind: str, name: str = "", part: str = "") -> str:
        """The path of a collection of this namespace, of an object in it, or of a part of that."""
        group = {"jobs": "apis/batch/v1"}.get(kind, "api/v1")
        parts = [group, "namespaces", self.namespace, kind, *(quote(one, safe="") for one in (name, part) if one)]
        return "/" + "/".join(parts)

    async def pages(self, path: str, **query: str | int) -> AsyncGenerator[dict[str, Any]]:
        """The pages of a list. Raises `ApiRefusal` 410 when the list must be begun again."""
        following = ""
        while True:
            parameters = {**query, "limit": PAGE_OBJECTS, **({"continue": following} if following else {})}
            page = await self._json("GET", path, parameters)
            yield page
            following = str(page.get("metadata", {}).get("continue") or "")
            if not following:
                return

    async def close(self) -> None:
        await self._client.close()
        if self._library_session is not None:
            await self._library_session.close()
            self._library_session = None

    async def _json(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        with request_errors(self.name):
            response = await self._send(method, path, query, body, self._timeout)
            try:
                if not 200 <= response.status < 300:
                    await self._refuse(response)
                answer = from_json(await self._read(response) or b"{}")
            finally:
                response.release()
        if not isinstance(answer, dict):
            raise EngineUnavailable(self.name, f"{method} {path} answered {type(answer).__name__} instead of an object")
        return answer  # pyright: ignore[reportUnknownVariableType]

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        content = _MERGE if method == "PATCH" else "application/json"
        return await self._client.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        body = await self._read(response)
        try:
            status = Status.model_validate_json(body)
        except ValidationError:
            status = Status(message=body[:500].decode(errors="replace"))
        if response.status == 429:
            wait = status.details.retry_after_seconds if status.details else 0
            raise EngineThrottled(self.name, min(wait or RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS))
        if response.status == 401:
            raise EngineUnavailable(self.name, "it does not accept our credentials (401)", may_have_arrived=False)
        if response.status >= 500:
            raise EngineUnavailable(self.name, bounded(f"status {response.status}: {status.message}"))
        causes = status.details.causes if status.details else ()
        raise ApiRefusal(response.status, status.reason, bounded(status.message), causes)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise EngineUnavailable(self.name, f"an answer of more than {MAX_BODY_BYTES} bytes")
        return bytes(body)


def _tls(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # many clusters' authorities lack a key identifier
    return context
