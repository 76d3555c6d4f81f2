"""The API's document: FastAPI's, with request bodies, permissions, problems and headers that routes only imply."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from signalbox_gateway.http.access import permissions_of
from signalbox_gateway.http.bodies import DESCRIBED
from signalbox_gateway.http.problems import TITLES
from signalbox_gateway.identity.roles import NEEDS

_INPUT: Final = "#/components/schemas/{model}Input"
_JSON_TYPE: Final = "application/json"
_ABOUT: Final = (
    "Runs, re-runs and watches data jobs on the engines a company already has. Enumerations are open: clients must "
    "accept values they do not know. Answers may get new fields; bodies and queries may hold known fields only."
)
TAGS: Final[Mapping[str, str]] = {
    "engines": "Registered remote systems that run work.",
    "jobs": "Saved, versioned work on one engine.",
    "pipelines": "Saved, versioned graphs of steps.",
    "schedules": "Cron rules that start jobs and pipelines.",
    "triggers": "Rules that start work for matching events.",
    "events": "Events of other systems, and what triggers made of them.",
    "channels": "Places to notify.",
    "subscriptions": "Which events go to which channel.",
    "freezes": "Stops of new work.",
    "moves": "Oozie coordinators that moved to Airflow DAGs.",
    "plans": "What a request was expanded into. Every execution is a plan.",
    "tasks": "Items that run on an engine, with their attempts and logs.",
    "secrets": "Values that work and engines need. The API never returns one.",
    "incidents": "Failures of one cause, and who looks after them.",
    "deliveries": "Messages to channels, with every try.",
    "notifications": "Who is notified of what, in one document.",
    "live feed": "Events over WebSockets: `docs/architecture/live-feed.md`.",
    "dead letters": "Messages a service could not handle and put aside.",
    "operations": "What was requested, and its result.",
    "status": "How the parts are.",
    "reprocessing": "Files of events that are sent again.",
    "traces": "Spans of a request through all services.",
    "audit": "Who did what.",
    "auth": "Signing in and out.",
    "users": "People and programs with an account.",
    "keys": "What programs sign in with.",
    "bindings": "Who has which role, and where.",
    "me": "Whose token this is.",
}
_NOT_OF_OPERATIONS: Final = frozenset({405, 408})
"""Statuses of paths and connections: no operation gives them."""
_ALWAYS: Final = (400, 401, 403, 422, 429, 431, 500, 503)
_NO_KEY: Final = "auth"
"""The tag of operations whose answers are never stored: they hold credentials."""
_HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key", "in": "header", "required": False,
        "description": "The same key and request again get the first answer for 24 hours; nothing is done twice.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    },
    "IfMatch": {
        "name": "If-Match", "in": "header", "required": False,
        "description": "An `ETag`. The change is refused (412) unless it is still the present one.",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match", "in": "header", "required": False,
        "description": "An `ETag`. The answer is 304 without a body while it is still the present one.",
        "schema": {"type": "string"},
    },
}  # fmt: skip
IF_MATCH: Final = {"parameters": [{"$ref": "#/components/parameters/IfMatch"}]}
"""For `openapi_extra` of a route that calls `must_match`."""
IF_NONE_MATCH: Final = {
    "parameters": [{"$ref": "#/components/parameters/IfNoneMatch"}],
    "responses": {"304": {"description": "The caller has this revision already."}},
}
"""For `openapi_extra` of a route that calls `not_modified`."""
UNREADABLE: Final[dict[int | str, dict[str, Any]]] = {409: {}}
"""For `responses` of a GET route that must read a stored definition."""


def document(app: FastAPI, examples: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI document. `examples` maps an operation id to `{"request": …, "response": …}`."""
    made = FastAPI.openapi(app)
    made["info"] |= {"description": _ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
    made["servers"] = [{"url": "http://127.0.0.1:8080", "description": "A local stack"}]
    made["security"] = [{"token": []}, {"cookie": []}]
    made["tags"] = [{"name": name, "description": words} for name, words in TAGS.items()]
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {**_body_schemas(DESCRIBED), "Problem": _PROBLEM}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "signalbox_session"},
    }
    components["parameters"] = dict(_HEADERS)
    components["responses"] = {
        f"Problem{status}": _problem(status)
        for status in sorted({of for of, _ in TITLES.values()} - _NOT_OF_OPERATIONS)
    }
    permissions = permissions_of(app)
    for schema in list(schemas.values()):
        _tidy(schema, schemas)
    for path, method, operation in operations(made):
        operation["x-permission"] = permissions[f"{method.upper()} {path}"]
        if NEEDS[operation["x-permission"]].public:
            operation["security"] = []
        _describe(path, method, operation, examples.get(operation["operationId"], {}))
    return made


def operations(made: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of everything in a document."""
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _describe(path: str, method: str, operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    words = operation.get("description", "").strip()
    operation["summary"] = " ".join(words.partition("\n\n")[0].partition(". ")[0].split()).removesuffix(".")
    operation["description"] = words
    parameters = operation.setdefault("parameters", [])
    if method == "post" and _NO_KEY not in operation.get("tags", ()):
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    for parameter in parameters:
        if parameter.get("in") == "path":
            parameter.setdefault("description", f"The {parameter['name']} of the {_singular(operation)}.")
    if not parameters:
        del operation["parameters"]
    responses = operation["responses"]
    for status in _statuses(path, method, operation):
        responses.setdefault(str(status), {}).clear()
        responses[str(status)]["$ref"] = f"#/components/responses/Problem{status}"
    _add_examples(operation, example)
    operation["responses"] = dict(sorted(responses.items()))


def _singular(operation: Mapping[str, Any]) -> str:
    return str(operation["operationId"]).rpartition("_")[0].replace("_", " ")


def _statuses(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[int]:
    """Every status with a problem that the operation can give."""
    yield from _ALWAYS
    yield from (int(status) for status in operation["responses"] if status.isdigit() and int(status) >= 400)
    if "{" in path:
        yield 404
    if method != "get":
        yield from (409, 412)
    if "requestBody" in operation:
        yield from (413, 415)


def _add_examples(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    if "request" in example:
        operation["requestBody"]["content"][_JSON_TYPE]["example"] = example["request"]
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get(_JSON_TYPE)
        shown = example.get(f"response {status}", example.get("response"))
        if status.startswith("2") and content is not None and shown is not None:
            content["example"] = shown


def _body_schemas(models: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Schemas of request bodies, named `…Input`: closed, and without what the API makes itself."""
    pairs: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in models.values()]
    _, made = models_json_schema(pairs, ref_template=_INPUT)
    schemas: dict[str, Any] = {f"{name}Input": schema for name, schema in made["$defs"].items()}
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return schemas


def _tidy(part: Any, schemas: dict[str, Any]) -> None:
    """Say what pydantic means: the tag of a tagged union is required, and one lower bound is enough."""
    if isinstance(part, list):
        for inner in cast("list[Any]", part):
            _tidy(inner, schemas)
    if not isinstance(part, dict):
        return
    schema = cast("dict[str, Any]", part)
    if "exclusiveMinimum" in schema:
        schema.pop("minimum", None)
    if "patternProperties" in schema:
        schema.setdefault("additionalProperties", False)
    tag: dict[str, Any] | None = schema.get("discriminator")
    for reference in tag.get("mapping", {}).values() if isinstance(tag, dict) else ():
        required: list[str] = schemas[reference.rpartition("/")[2]].setdefault("required", [])
        if tag and tag["propertyName"] not in required:
            required.append(tag["propertyName"])
    for inner in schema.values():
        _tidy(inner, schemas)


_TEXT: Final = {"type": "string"}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What is wrong, as RFC 9457. Some problems have members of their own, such as `users`.",
    "required": ["type", "title", "status", "detail", "trace_id"],
    "properties": {
        "type": {**_TEXT, "description": "`/problems/<slug>`: a page that explains it."},
        "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT, "trace_id": _TEXT,
        "kind": {**_TEXT, "description": "Of `unreadable`: the kind of the definition."},
        "id": {**_TEXT, "description": "Of `unreadable`: the id of the definition."},
        "revision": {
            "type": "integer",
            "description": "Of `unreadable`: what `If-Match` may name. Absent where an older version is meant.",
        },
        "version": {
            "type": "integer",
            "description": "Of `unreadable`: the older version that cannot be read. The present one is not affected.",
        },
        "users": {"type": "array", "items": _TEXT, "description": "Of `in-use`: what uses it, as `kind:id`."},
        "errors": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "required": ["field", "value", "allowed"],
                "properties": {"field": _TEXT, "value": {"type": ["string", "null"]}, "allowed": _TEXT},
            },
        },
    },
}  # fmt: skip


def _problem(status: int) -> dict[str, Any]:
    slugs = {slug: title for slug, (of, title) in TITLES.items() if of == status}
    slug, title = next(iter(slugs.items()))
    example = {
        "type": f"/problems/{slug}", "title": title, "status": status, "detail": title,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }  # fmt: skip
    return {
        "description": "; ".join(f"`{slug}`: {title}" for slug, title in slugs.items()),
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }
