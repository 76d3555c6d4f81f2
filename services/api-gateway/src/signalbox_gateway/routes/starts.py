"""In: start_claim, start_end, start_progress, launchers. Changes: the blob store. Out: nothing.

Called by launchers on engines, not by people: the secret is good for one start of one key, and these routes need
neither the database nor Kafka nor an executor.
"""

import logging
from collections.abc import Awaitable
from functools import lru_cache
from typing import Annotated, Any, Final

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from signalbox_chassis.blobs import BlobStoreFailed
from signalbox_chassis.start_fence import (
    JAR,
    LAUNCHER,
    NotClaimed,
    RunEnd,
    RunProgress,
    StartFence,
    StartUnknown,
    StartUnreadable,
)
from signalbox_contracts.ids import is_run_key
from signalbox_gateway.http.bodies import body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem

log = logging.getLogger(__name__)
router = PrefixRouter(prefix="/starts", include_in_schema=False)
_FILES: Final = {"launcher.py": (LAUNCHER, "text/x-python"), JAR.name: (JAR, "application/java-archive")}
_Run = Annotated[str, Field(min_length=1, max_length=255)]


class Claim(BaseModel):
    """What a launcher says before it starts its application."""

    model_config = ConfigDict(extra="forbid")
    run: _Run
    nonce: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{16,64}$")]


class End(RunEnd):
    """How the application ended."""

    run: _Run


class Progress(RunProgress):
    """How far it is."""

    run: _Run


@router.post("/{run_key}/claim")
async def start_claim(run_key: str, request: Request, deps: Deps) -> Response:
    """200 lets the caller start its application; 409 says that it must not, also where what was claimed is damaged."""
    written = await body_of(request, Claim)
    fence = _fence(deps, run_key)
    return await _answer(fence.claim(run_key, _secret(request), written.run, written.nonce, deps.clock.now()))


@router.post("/{run_key}/end")
async def start_end(run_key: str, request: Request, deps: Deps) -> Response:
    """Keep how an application ended."""
    written = await body_of(request, End)
    fields: dict[str, Any] = {**written.model_dump(exclude={"run"}), "at": deps.clock.now()}
    return await _answer(_fence(deps, run_key).save_end(run_key, _secret(request), written.run, RunEnd(**fields)))


@router.post("/{run_key}/progress")
async def start_progress(run_key: str, request: Request, deps: Deps) -> Response:
    """Keep how far an application is."""
    written = await body_of(request, Progress)
    progress = RunProgress(**written.model_dump(exclude={"run"}))
    return await _answer(_fence(deps, run_key).save_progress(run_key, _secret(request), written.run, progress))


@router.get("/launchers/{name}")
async def launcher(name: str) -> Response:
    """A launcher, as engines fetch it. There is nothing secret in it."""
    if name not in _FILES:
        raise Problem("not-found", f"there is no launcher {name[:100]!r}: {', '.join(_FILES)}")
    path, media_type = _FILES[name]
    return Response(path.read_bytes(), media_type=media_type)


async def _answer(done: Awaitable[None]) -> Response:
    try:
        await done
    except StartUnknown:
        raise Problem("unauthenticated", "no start was sent with this key and secret") from None
    except NotClaimed as error:
        raise Problem("conflict", error.reason) from None
    except StartUnreadable as error:  # 409: launchers take it as the last word, and ask a 5xx again
        _log_unreadable(error.name, error.reason)
        raise Problem("conflict", f"it cannot be known whether this start was claimed before: {error}") from None
    except BlobStoreFailed as error:
        raise Problem("unavailable", f"the blob store fails: {error}", headers={"Retry-After": "1"}) from None
    return Response(b"{}", media_type="application/json")


@lru_cache(maxsize=1000)
def _log_unreadable(name: str, reason: str) -> None:
    """Log a damaged fact once, however often launchers ask."""
    log.error("a start is refused: %s in the blob store cannot be read: %s", name, reason)


def _fence(deps: Dependencies, run_key: str) -> StartFence:
    if deps.blobs is None:  # 409: launchers take it as the last word, and ask a 5xx again
        raise Problem("conflict", "the gateway has no blob store to claim starts in: SIGNALBOX_BLOB_URL is empty")
    if not is_run_key(run_key):
        raise Problem("not-found", "this is no run key")
    return StartFence(deps.blobs)


def _secret(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret or len(secret) > 200:
        raise Problem("unauthenticated", "the secret of the start is needed as a bearer token")
    return secret
