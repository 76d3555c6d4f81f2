"""Methods as RFC 9110 has them: HEAD answers as GET without a body, OPTIONS and 405 list every method of a path."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import compile_path

from signalbox_gateway.http.problems import Problem
from signalbox_gateway.http.traces import current_trace_id

Scope = MutableMapping[str, Any]


class PathMethods:
    """The methods of every path of an application."""

    def __init__(self, app: FastAPI) -> None:
        methods: dict[str, set[str]] = {}
        for route in iter_route_contexts(app.routes):
            methods.setdefault(str(route.path), set()).update(getattr(route, "methods", None) or ())
        self._paths = [(compile_path(path)[0], known) for path, known in methods.items()]

    def of(self, path: str) -> list[str]:
        """The methods of a path, sorted; empty when no route has it."""
        found: set[str] = set()
        for pattern, methods in self._paths:
            if pattern.match(path):
                found |= methods
        if not found:
            return []
        return sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))


class Methods:
    """ASGI middleware."""

    def __init__(self, app: Any, paths: PathMethods) -> None:
        self.app = app
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await self._options(scope["path"])(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, _without_body(send))
        else:
            await self.app(scope, receive, send)

    def _options(self, path: str) -> Response:
        allowed = self.paths.of(path)
        if not allowed:
            return Problem("not-found", f"{path} is not a route").response(current_trace_id())
        return Response(status_code=204, headers={"Allow": ", ".join(allowed)})


def _without_body(send: Any) -> Any:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sent
