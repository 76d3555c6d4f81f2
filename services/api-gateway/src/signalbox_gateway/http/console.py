"""The web console's files, served beside the API so that both have one origin. docs/console.md has more.

Every page of the console is the same document: its script reads the address. Names of files under `assets/` hold a
hash of what is in them, so browsers keep them; the document itself is fetched each time.
"""

import gzip
import mimetypes
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from signalbox_gateway.http.problems import Problem

PATH: Final = "/console"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""No script but the build's own files. Styles of elements are set by the components, so those are allowed."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_TEXT: Final = frozenset({"text/javascript", "text/css", "text/html", "image/svg+xml", "application/json"})
_SMALL: Final = 1024
_FOREVER: Final = "public, max-age=31536000, immutable"


def serve(app: FastAPI, folder: Path) -> None:
    """Add the console's routes. The folder may be filled later: until then its pages are a problem that explains."""

    @app.get("/", include_in_schema=False)
    async def start() -> Response:
        return RedirectResponse(f"{PATH}/", 307)

    @app.get(PATH, include_in_schema=False)
    async def bare() -> Response:
        return RedirectResponse(f"{PATH}/", 307)

    @app.get(f"{PATH}/{{path:path}}", include_in_schema=False)
    async def page(request: Request, path: str) -> Response:
        if path.startswith("assets/"):
            return _file(request, folder / "assets", path.removeprefix("assets/"), _FOREVER)
        if path == "icon.svg":
            return _file(request, folder, path, "public, max-age=3600")
        return _file(request, folder, "index.html", "no-cache")


def _file(request: Request, folder: Path, name: str, kept: str) -> Response:
    try:
        if not _NAME.fullmatch(name):
            raise FileNotFoundError
        plain, packed, kind = _contents(folder / name, (folder / name).stat().st_mtime_ns)
    except OSError:
        raise Problem("not-found", f"{name[:100]!r} is no file of the console, or the console is not built") from None
    headers = {
        "Cache-Control": kept, "Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin",
        "Vary": "Accept-Encoding", "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }  # fmt: skip
    if packed and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(plain, media_type=kind, headers=headers)


@lru_cache(maxsize=200)
def _contents(file: Path, _changed: int) -> tuple[bytes, bytes, str]:
    """A file, plain and packed, and its media type; read once until it changes."""
    plain = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    packed = gzip.compress(plain, 9, mtime=0) if kind in _TEXT and len(plain) > _SMALL else b""
    return plain, packed, kind
