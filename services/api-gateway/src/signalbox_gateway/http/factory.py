"""The FastAPI application: routes, what holds for all of them, its own description."""

import asyncio
import html
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_contracts.definitions.problems import InvalidDefinition
from signalbox_contracts.definitions.problems import Problem as Field
from signalbox_contracts.wire import MessageTooLarge
from signalbox_gateway.definitions.store import DefinitionUnreadable
from signalbox_gateway.definitions.unreadable import problem_of
from signalbox_gateway.http import console
from signalbox_gateway.http.access import permissions_of
from signalbox_gateway.http.auditing import Audited, RefusalAudit
from signalbox_gateway.http.bodies import BodyLimit
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.login_gate import LoginGate
from signalbox_gateway.http.methods import Methods, PathMethods
from signalbox_gateway.http.openapi import document, operations
from signalbox_gateway.http.problems import PAGES, TITLES, Problem, invalid_all
from signalbox_gateway.http.traces import Traced, current_trace_id

log = logging.getLogger(__name__)
BASE: Final = "/api/v1"
_CORS_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match")
_CORS_EXPOSED: Final = ("ETag", "Location", "Retry-After", "X-Trace-Id", "Idempotency-Replayed")
_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)  # fmt: skip


def application(
    deps: Dependencies,
    routers: list[APIRouter],
    examples: Callable[[], Mapping[str, Any]] = dict,
    console_folder: str = "",
) -> FastAPI:
    """The application. `examples` makes the examples of its OpenAPI document; `console_folder` has the console.

    Raises `UndeclaredRoute` when a route declares no permission.
    """
    app = FastAPI(
        title="Signalbox", version="1", docs_url=None, redoc_url=None, openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    app.state.dependencies = deps
    app.state.examples = examples
    app.state.tokens = deps.identity.authentication if deps.identity else None
    for router in routers:
        app.include_router(router, prefix="" if router.prefix.startswith("/api/") else BASE)
    _describe(app)
    if console_folder:
        console.serve(app, Path(console_folder))
    _answer_errors(app)
    permissions_of(app)
    app.state.methods = PathMethods(app)
    app.add_middleware(Methods, paths=app.state.methods)
    app.add_middleware(Audited, deps=deps)
    app.add_middleware(_Unexpected)
    app.add_middleware(_Safe)
    if deps.identity is not None and deps.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=[one.strip() for one in deps.settings.cors_origins.split(",")],
            allow_methods=["GET", "POST", "PUT", "DELETE"], allow_headers=_CORS_HEADERS, expose_headers=_CORS_EXPOSED,
            max_age=600,
        )  # fmt: skip
    app.add_middleware(BodyLimit, plan_body_bytes=deps.settings.plan_body_bytes)
    app.add_middleware(Traced, tracer=deps.tracer)
    app.add_middleware(LoginGate)
    return app


class _Safe:
    """ASGI middleware: headers that keep browsers from doing anything with an answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message.get("headers", [])}
                message["headers"] = [
                    *message.get("headers", []), *((name, value) for name, value in _SAFE if name not in present)
                ]  # fmt: skip
            await send(message)

        await self.app(scope, receive, answer if scope["type"] == "http" else send)


class _Unexpected:
    """ASGI middleware: what no route foresaw is answered too.

    Not an exception handler: Starlette's for `Exception` runs outside of all middleware, where the trace is over, and
    raises the error again.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def answer(message: dict[str, Any]) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            return  # in the middle of its body: there is nobody to answer
        except Exception as error:
            if begun:  # the rest of this answer is lost: the connection is closed, so that nobody takes it for whole
                raise
            await _unexpected(scope, error).response(current_trace_id())(scope, receive, send)


def _unexpected(scope: Any, error: Exception) -> Problem:
    operation = f"{scope['method']} {scope['path']}"
    if classify(error) in (Failure.PASSING, Failure.SLOW, Failure.REFUSED):
        log.warning("%s: %r", operation, error)
        return Problem("unavailable", "the database does not answer", headers={"Retry-After": "1"})
    log.error("%s failed", operation, exc_info=error)
    return Problem("internal")


def _answer_errors(app: FastAPI) -> None:
    refusals = app.state.refusals = RefusalAudit()

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        await refusals.add(request, app.state.dependencies, error)
        if getattr(request.state, "as_page", False) and request.headers.get("accept", "").startswith("text/html"):
            return _problem_page(error)
        return error.response(current_trace_id())

    @app.exception_handler(InvalidDefinition)
    async def invalid_definition(_: Request, error: InvalidDefinition) -> Response:
        return invalid_all(error.problems).response(current_trace_id())

    @app.exception_handler(DefinitionUnreadable)
    async def unreadable(_: Request, error: DefinitionUnreadable) -> Response:
        return problem_of(error).response(current_trace_id())

    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> Response:
        fields = [
            Field(
                ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]),
                None if one["type"] == "missing" else repr(one.get("input"))[:100],
                one["msg"].removeprefix("Value error, "),
            )
            for one in error.errors()
        ]
        return invalid_all(fields).response(current_trace_id())

    @app.exception_handler(MessageTooLarge)
    async def large(_: Request, error: MessageTooLarge) -> Response:
        return Problem("too-large", f"as a message, {error}").response(current_trace_id())

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "internal")
        detail = f"{request.method} {request.url.path} is not a route" if slug == "not-found" else ""
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(request.app.state.methods.of(request.url.path))
        return Problem(slug, detail, headers=headers).response(current_trace_id())


def _describe(app: FastAPI) -> None:
    """`/openapi.json`, `/docs`, `/problems`, `/healthz`: no token needed, no other server asked."""

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(document(app, app.state.examples()))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_listing(document(app, app.state.examples())))

    @app.get("/problems", include_in_schema=False)
    async def problems() -> HTMLResponse:
        links = "".join(f'<li><a href="/problems/{slug}">{slug}</a></li>' for slug in TITLES)
        return HTMLResponse(_page("Problems", f"<ul>{links}</ul>"))

    @app.get("/problems/{slug}", include_in_schema=False)
    async def one_problem(slug: str) -> HTMLResponse:
        if slug not in TITLES:
            raise Problem("not-found", f"{slug!r} is not a problem of this API")
        status, title = TITLES[slug]
        return HTMLResponse(_page(title, f"<p>HTTP {status}</p><p>{html.escape(PAGES[slug])}</p>"))

    @app.get("/.well-known/jwks.json", include_in_schema=False)
    async def jwks(deps: Deps) -> JSONResponse:
        return JSONResponse(await deps.identity.keys.jwks(), headers={"Cache-Control": "public, max-age=60"})

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    @app.get("/health", include_in_schema=False)
    async def health(deps: Deps) -> dict[str, str]:
        async with asyncio.timeout(5):
            await deps.database.ping()
        return {"status": "healthy"}


def _problem_page(error: Problem) -> Response:
    """The problem for a person whom another site sent here: there is no script that could show it."""
    words = f"<p>{html.escape(error.detail or PAGES[error.slug])}</p><p>Trace {html.escape(current_trace_id())}</p>"
    page = _page(TITLES[error.slug][1], f'{words}<p><a href="/console/">Back to the console</a></p>')
    return HTMLResponse(page, error.status, headers=error.headers)


def _page(title: str, body: str) -> str:
    style = (
        "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}td{padding:.2rem 1rem .2rem 0}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)} · Signalbox</title>"
        f"<style>{style}</style><h1>{html.escape(title)}</h1>{body}</html>"
    )


def _listing(made: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation['operationId'])}</td><td><code>{operation['x-permission']}</code></td>"
        f"<td>{html.escape(operation.get('description', '').partition(chr(10))[0])}</td></tr>"
        for path, method, operation in operations(made)
    ]
    return _page("API", f'<p>As <a href="/openapi.json">OpenAPI</a>.</p><table>{"".join(rows)}</table>')
