"""What is wrong with a request, as RFC 9457 `application/problem+json`."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from fastapi.responses import Response
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from signalbox_contracts.definitions.problems import Problem as Field
from signalbox_contracts.definitions.problems import problems_in

M = TypeVar("M", bound=BaseModel)
MAX_ERRORS: Final = 100
MEDIA_TYPE: Final = "application/problem+json"

TITLES: Final[dict[str, tuple[int, str]]] = {
    "bad-request": (400, "The request is not well-formed HTTP"),
    "unauthenticated": (401, "Who you are is not known"),
    "forbidden": (403, "You may not do this"),
    "not-found": (404, "There is no such thing"),
    "invalid": (422, "The request is not valid"),
    "conflict": (409, "It cannot be done as things are"),
    "in-use": (409, "Something still uses it"),
    "unreadable": (409, "The stored definition cannot be read"),
    "precondition-failed": (412, "It has changed meanwhile"),
    "idempotency-key-reused": (422, "The idempotency key was used for another request"),
    "request-in-progress": (409, "The same request is being answered"),
    "too-many-requests": (429, "Too many requests"),
    "timeout": (408, "The request did not come in time"),
    "header-too-large": (431, "The request line or the headers are too large"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body is not JSON"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "unavailable": (503, "Something this needs cannot be reached"),
    "not-configured": (501, "Something this needs is not set up here"),
    "internal": (500, "Something went wrong here"),
}
PAGES: Final[dict[str, str]] = {
    "bad-request": "A header is repeated that may stand once only, a token stands in the address, or the request "
    "cannot be read as HTTP.",
    "unauthenticated": "Send `Authorization: Bearer` with a key or an access token that is not revoked and has not "
    "expired. `signalbox login` asks for a password; `python -m signalbox_gateway admin token NAME` makes a key.",
    "forbidden": "Who calls is known, and lacks the permission named in `detail`, here or everywhere.",
    "not-found": "The path or the id is wrong, or what it named is gone.",
    "invalid": "Each entry of `errors` names a field, its value and what is allowed there. Nothing was changed.",
    "conflict": "The request is well-formed and does not fit the present state, which `detail` names.",
    "in-use": "`users` lists what refers to it. Change or remove those first.",
    "unreadable": "A newer version wrote this definition, or it is damaged. `kind`, `id` and `revision` name it, "
    "`errors` the fields that cannot be read, without their values. PUT replaces it and DELETE removes it, by the "
    "usual rules; its older versions that can be read are shown with `?version=`. With `version` in place of "
    "`revision` it is that older version, and the present one is not affected. Nor is any other definition.",
    "precondition-failed": "`If-Match` names another revision than the present one: read it again and decide again. "
    "Plans, tasks, accounts and roles have no revision: send their changes without `If-Match`.",
    "idempotency-key-reused": "A key belongs to one request: method, path and body. Take a fresh key for another one.",
    "request-in-progress": "The first request with this key is not answered yet. Ask again in a moment.",
    "too-many-requests": "Wait as many seconds as `Retry-After` says.",
    "timeout": "Send the request at once; a body has two minutes.",
    "header-too-large": "Request line and headers together have at most 64 KiB.",
    "unsupported-media-type": "Send `Content-Type: application/json` and no `Content-Encoding`.",
    "too-large": "`detail` says how many bytes are allowed.",
    "method-not-allowed": "The `Allow` header lists what this path takes.",
    "unavailable": "The database or another part does not answer. The request may be repeated.",
    "not-configured": "`detail` names the setting that an operator has to make. Repeating the request changes nothing.",
    "internal": "Repeat the request; with an `Idempotency-Key` that is always safe. `trace_id` finds the log lines.",
}


class Problem(Exception):
    """Ends a request with this answer. `errors` are the fields that are wrong; `more` are members of its own."""

    def __init__(
        self, slug: str, detail: str = "", *, errors: Iterable[Field] = (), headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(detail or slug)
        self.slug = slug
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}
        self.more = more
        self.audit_detail = ""
        """What the audit says instead of `detail`, where the caller must not know."""

    @property
    def status(self) -> int:
        return TITLES[self.slug][0]

    def response(self, trace_id: str) -> Response:
        status, title = TITLES[self.slug]
        body: dict[str, Any] = {
            "type": f"/problems/{self.slug}", "title": title, "status": status, "detail": self.detail or title,
            "trace_id": trace_id, **self.more,
        }  # fmt: skip
        if self.errors:
            body["errors"] = [
                {"field": one.field, "value": one.value, "allowed": one.allowed} for one in self.errors[:MAX_ERRORS]
            ]
        return Response(to_json(body), status_code=status, media_type=MEDIA_TYPE, headers=self.headers)


def invalid(field: str, value: object, allowed: str) -> Problem:
    """One field is wrong."""
    shown = None if value is None else repr(value)[:100]
    return Problem("invalid", f"{field}: {allowed}", errors=[Field(field, shown, allowed)])


def invalid_all(errors: Sequence[Field]) -> Problem:
    """These fields are wrong."""
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return Problem("invalid", f"{errors[0].field}: {errors[0].allowed}{more}", errors=errors)


def checked(adapter: TypeAdapter[Any] | type[Any], written: Any, *, place: str = "") -> Any:
    """What was written, as a value. Unknown fields and other types are refused: `"7"` is no number, `1` no text.

    `place` goes before each field's name.
    """
    kind: TypeAdapter[Any] = adapter if isinstance(adapter, TypeAdapter) else TypeAdapter(adapter)
    try:
        return kind.validate_json(to_json(written), strict=True, extra="forbid")
    except ValidationError as error:
        found = [Field(place + _place(one.field), one.value, one.allowed) for one in problems_in(error)]
        raise invalid_all(found) from None


def built(model: type[M], values: Any) -> M:
    """A model of values that routes put together from several places. Raises the problem of a wrong one."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_all(problems_in(error)) from None


def _place(field: str) -> str:
    return "body" if field == "definition" else field  # what is wrong with the whole of it
