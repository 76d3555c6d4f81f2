"""In: trace_show. The spans of one trace, from the configured trace store (`GET <store>/traces/<id>`)."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import aiohttp
from fastapi import Depends, Path, Response

from signalbox_gateway.http.access import permission
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import answer, missing

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_SPANS: Final = 10_000
SECONDS: Final = 5.0


router = PrefixRouter(prefix="/traces", tags=["traces"], dependencies=[Depends(permission("trace.read"))])


@router.get("/{trace_id}", operation_id="trace_show", response_model=answers.Trace)
async def trace_show(deps: Deps, trace_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]) -> Response:
    """Every span of a trace, earliest first."""
    if not deps.settings.trace_store_url:
        raise Problem("not-found", "no trace store is configured")
    found = await _fetch(f"{deps.settings.trace_store_url.rstrip('/')}/traces/{trace_id}")
    if not found:
        raise missing("trace", trace_id)
    return answer({"trace_id": trace_id, "spans": [span(one) for one in found[:MAX_SPANS]]})


async def _fetch(url: str) -> list[dict[str, Any]]:
    """The store's spans, none for a trace it does not have; raises a `Problem`."""
    try:
        # the operator configures this address, nobody types it: it needs no guard
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
            session.get(url) as response,
        ):
            if response.status == 404:
                return []
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise Problem("unavailable", f"the trace has more than {MAX_BYTES} bytes")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Problem("unavailable", f"the trace store does not answer: {type(error).__name__}") from error
    try:
        found: Any = json.loads(body)
    except ValueError as error:
        raise Problem("unavailable", "the trace store's answer is no JSON") from error
    return cast("list[dict[str, Any]]", found) if isinstance(found, list) else []


def span(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A span of the store as the API shows it."""
    status: Mapping[str, Any] = entry.get("status") or {}
    return {
        "span_id": entry.get("span_id"),
        "parent_id": entry.get("parent_span_id") or None,
        "service": entry.get("service", ""),
        "name": entry.get("name", ""),
        "start_ns": entry.get("start_ns"),
        "end_ns": entry.get("end_ns"),
        "status": str(status.get("code", "unset")).lower(),
        "attributes": entry.get("attributes") or {},
    }
