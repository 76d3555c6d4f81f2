"""Compares answers with the API's committed document: status, content type and every field."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from jsonschema import Draft202012Validator

_FILE: Final = Path(__file__).parents[2] / "services" / "api-gateway" / "openapi.json"
_BASE: Final = "/api/v1"
_ANYWHERE: Final = frozenset({405, 413, 431})
"""Statuses that the path or the connection gives, not the operation."""


@cache
def document() -> dict[str, Any]:
    return json.loads(_FILE.read_text())


def problem_with(method: str, path: str, status: int, content_type: str, text: str) -> str | None:
    """What the document does not allow about an answer; None when all is as documented or the path is no operation."""
    operation = _operation(method, path.partition("?")[0])
    if operation is None or status in _ANYWHERE:
        return None
    place = f"{method} {path} answered {status}"
    response = operation["responses"].get(str(status))
    if response is None:
        return f"{place}, which is not documented"
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content")
    if not content:
        return f"{place} with a body" if text else None
    kind = content_type.partition(";")[0]
    if kind not in content:
        return f"{place} as {kind}, not {', '.join(content)}"
    if kind.endswith(("/json", "+json")):
        errors = [
            _words(error) for error in _validator(json.dumps(content[kind]["schema"])).iter_errors(json.loads(text))
        ]
        if errors:
            return f"{place}: {'; '.join(errors[:5])}"
    return None


def _words(error: Any) -> str:
    return f"{'/'.join(map(str, error.absolute_path))}: {str(error.message)[:300]}"


@cache
def _validator(schema: str) -> Any:
    schema_document = {**json.loads(schema), "components": document()["components"]}
    return cast("Any", Draft202012Validator(schema_document))


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Paths without parameters first: they win over those with."""
    paths = sorted(document()["paths"].items(), key=lambda one: "{" in one[0])
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), methods) for path, methods in paths]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    full = path if path.startswith(_BASE) else _BASE + path
    for pattern, methods in _operations():
        if pattern.fullmatch(full):
            return methods.get(method.lower())
    return None
