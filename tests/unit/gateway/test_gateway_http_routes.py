"""The routes as a whole: each declares its permission, and the API is the one that is written down."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import APIRouter

from signalbox_gateway import openapi
from signalbox_gateway.app import ROUTERS
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import UndeclaredRoute, permissions_of
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.factory import application, document
from signalbox_gateway.http.problems import PAGES, TITLES
from signalbox_gateway.settings import GatewaySettings

WRITTEN = (Path(__file__).parents[3] / "docs" / "architecture" / "api.md").read_text()
NOTHING: Any = None
SETTINGS = cast("GatewaySettings", type("Defaults", (), {"token_cache_seconds": 0.0, "plan_body_bytes": 0}))


def app(*more: APIRouter) -> Any:
    return application(Dependencies(NOTHING, NOTHING, SETTINGS, NOTHING, NOTHING), [*ROUTERS, *more])


def test_every_route_declares_a_permission() -> None:
    permissions = permissions_of(app())
    assert len(permissions) > 40
    for route, permission in permissions.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", permission), route
        if not route.startswith("GET "):
            assert not permission.endswith(".read"), f"{route} changes something"


@pytest.mark.parametrize("deep", [False, True])
def test_a_route_without_a_permission_keeps_the_service_from_starting(deep: bool) -> None:
    """Without it a forgotten declaration is an open door."""
    careless = APIRouter(prefix="/careless")

    @careless.get("")
    async def open_door() -> None:  # pyright: ignore[reportUnusedFunction]
        pass

    outer = APIRouter(prefix="/outer")
    outer.include_router(careless)
    with pytest.raises(UndeclaredRoute, match="careless"):
        app(outer if deep else careless)


def test_operations_are_those_the_page_lists() -> None:
    table = WRITTEN.partition("## Operations")[2].partition("## Tokens")[0]
    listed = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for pattern in re.findall(r"`((?:KIND|[a-z]+)(?:_[a-z]+)+)`", line.split("|")[1])
        for name in ([pattern.replace("KIND", kind) for kind in KINDS] if "KIND" in pattern else [pattern])
    }
    made = {one["operationId"] for methods in document(app())["paths"].values() for one in methods.values()}
    assert made == listed


def test_problems_are_those_the_page_lists_and_each_has_a_page() -> None:
    words = re.search(r"Problem slugs: (.*?)\.\n", WRITTEN, re.DOTALL)
    assert words
    assert set(re.findall(r"`([a-z-]+)`", words[1])) == set(TITLES) == set(PAGES)


def test_the_committed_document_is_the_one_of_these_routes() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run `python -m signalbox_gateway.openapi`"


def test_every_schema_the_document_refers_to_is_in_it() -> None:
    made = json.dumps(document(app()))
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', made))
    assert named - set(json.loads(made)["components"]["schemas"]) == set()
