"""`openapi.json`, made from the routes."""

import json
from pathlib import Path
from typing import Any, Final, cast

from signalbox_gateway.app import ROUTERS
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.factory import application
from signalbox_gateway.http.openapi import document
from signalbox_gateway.routes.examples import examples
from signalbox_gateway.settings import GatewaySettings

FILE: Final = Path(__file__).parents[2] / "openapi.json"


def text() -> str:
    """The document, as it is committed. Nothing real is touched: only routes are read."""
    nothing: Any = None
    settings = cast("GatewaySettings", type("Defaults", (), {"token_cache_seconds": 0.0, "plan_body_bytes": 0}))
    app = application(Dependencies(nothing, nothing, settings, nothing, nothing), ROUTERS)
    return json.dumps(document(app, examples()), indent=1, sort_keys=True) + "\n"
