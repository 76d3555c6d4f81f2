"""The routes as a whole: each declares its permission, and the API is the one that is written down."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import APIRouter
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from signalbox_gateway import openapi
from signalbox_gateway.app import ROUTERS
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import UndeclaredRoute, permissions_of
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.factory import application
from signalbox_gateway.http.openapi import operations
from signalbox_gateway.http.problems import PAGES, TITLES
from signalbox_gateway.settings import GatewaySettings

WRITTEN = (Path(__file__).parents[3] / "docs" / "architecture" / "api.md").read_text()
NOTHING: Any = None
SETTINGS = cast("GatewaySettings", type("Defaults", (), {"token_cache_seconds": 0.0, "plan_body_bytes": 0}))


DOCUMENT: dict[str, Any] = json.loads(openapi.FILE.read_text())


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
    made = {one["operationId"] for _, _, one in operations(DOCUMENT)}
    assert made == listed


def test_problems_are_those_the_page_lists_and_each_has_a_page() -> None:
    words = re.search(r"Problem slugs: (.*?)\.\n", WRITTEN, re.DOTALL)
    assert words
    assert set(re.findall(r"`([a-z-]+)`", words[1])) == set(TITLES) == set(PAGES)


def test_the_committed_document_is_the_one_of_these_routes() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run `make generate`"


def test_every_answer_has_a_schema_and_an_example() -> None:
    """An empty schema makes a generated client that knows nothing of the answer."""
    wanted: list[str] = []
    for path, method, operation in operations(DOCUMENT):
        name = operation["operationId"]
        good = {status: response for status, response in operation["responses"].items() if status.startswith("2")}
        assert good or "303" in operation["responses"], f"{method} {path} has no answer"
        for status, response in good.items():
            content: dict[str, Any] | None = response.get("content")
            assert content or status == "204", f"{name} {status} has no content"
            for kind, media in (content or {}).items():
                assert media.get("schema"), f"{name} {status} has an empty schema"
                wanted += [] if kind == "text/plain" or "example" in media else [f"answer of {name}"]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {"example": None})
        wanted += [] if "example" in body else [f"body of {name}"]
        assert operation["summary"], name
        assert all("description" in one or "$ref" in one for one in operation.get("parameters", ())), name
    assert wanted == [], "routes/examples.py lacks them"


def test_every_example_fits_its_schema() -> None:
    components = {"components": DOCUMENT["components"]}
    for _, _, operation in operations(DOCUMENT):
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (one.get("content", {}).get("application/json") for one in contents):
            if media is not None:
                validator: Any = Draft202012Validator({**media["schema"], **components})
                errors = [
                    f"{operation['operationId']}: {error.message}" for error in validator.iter_errors(media["example"])
                ]
                assert errors == []


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_every_schema_the_document_refers_to_is_in_it() -> None:
    made = json.dumps(DOCUMENT)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', made))
    assert named - set(json.loads(made)["components"]["schemas"]) == set()


SQL_ROOMS = ("store", "read_model", "definitions", "identity", "recovery", "migrations")


def test_sql_stands_in_its_rooms_and_nowhere_else() -> None:
    """A route with a query of its own is not found by whoever changes the table."""
    package = Path(openapi.__file__).parent
    words = re.compile(r"\b(SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b|\.(fetch|fetchrow|fetchval|execute)\(")
    found = [
        str(file.relative_to(package))
        for file in sorted(package.rglob("*.py"))
        if file.relative_to(package).parts[0] not in SQL_ROOMS and words.search(file.read_text())
    ]
    assert found == []


def test_every_body_is_closed() -> None:
    """Unknown fields are refused, so the document says so; only maps of free names have a schema for them."""
    opened = [
        f"{name}: {sorted(part)}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if name.endswith("Input")
        for part in parts_of(schema)
        if ("properties" in part or "patternProperties" in part) and part.get("additionalProperties") is not False
    ]
    assert not opened


def parts_of(schema: Any) -> list[dict[str, Any]]:
    """The schema and all inside it."""
    if isinstance(schema, list):
        return [part for one in cast("list[Any]", schema) for part in parts_of(one)]
    if not isinstance(schema, dict):
        return []
    own = cast("dict[str, Any]", schema)
    inner = [*own.get("properties", {}).values(), *(own[key] for key in ("anyOf", "oneOf", "items") if key in own)]
    return [own, *parts_of(inner)]
