"""Paths and query parameters, before a route looks at them."""

import re
from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from signalbox_gateway.http.bodies import NO_ZERO
from signalbox_gateway.http.problems import Problem, invalid

_INTEGER: Final = re.compile("-?[0-9]{1,20}")
"""Pydantic also takes `7.0`, `+7` and `1_0` as an integer."""


def idempotency_key(request: Request) -> str | None:
    """The key the caller gave, if any."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", key, "1 to 255 printable ASCII characters are allowed")
    return key


def only_known_parameters(request: Request) -> None:
    """Refuse a misspelt filter, which would answer with everything, and zero bytes, which no column takes."""
    if "\0" in request.scope["path"]:
        raise Problem("not-found", "no path with a zero byte leads anywhere")
    if request.method == "POST":
        idempotency_key(request)
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not request.query_params:
        return
    known = dict(_parameters(route.dependant))
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in known:
            words = ", ".join(sorted(known)) or "no parameters"
            raise invalid(name, value, f"is not a parameter of this route: {words} allowed")
        if "\0" in value:
            raise invalid(name, value, NO_ZERO)
        if name in seen and get_origin(known[name]) is not list:
            raise invalid(name, value, "is given more than once")
        if int in (known[name], *get_args(known[name])) and not _INTEGER.fullmatch(value):
            raise invalid(name, value, "a whole number in plain digits is allowed")
        seen.add(name)


def _parameters(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    """Name and type."""
    for field in dependant.query_params:
        yield field.alias, field.field_info.annotation
    for inner in dependant.dependencies:
        yield from _parameters(inner)
