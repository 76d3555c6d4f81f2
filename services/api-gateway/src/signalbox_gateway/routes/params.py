"""Parameters the reading routes share, and how they answer."""

import re
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import to_json

from signalbox_contracts.messages.plans import Decision, WaitReason
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.vocabulary import Instant, OpenEnum
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.read_model import cursor
from signalbox_gateway.read_model.queries import Page

MAX_WAIT_SECONDS: Final = 60.0


def missing(kind: str, id: object) -> Problem:
    """Nothing has this id."""
    return Problem("not-found", f"there is no {kind} {id}")


def known(words: type[OpenEnum]) -> Any:
    allowed = [word.value for word in words if word.value != "OTHER"]

    def check(values: list[str]) -> list[str]:
        wrong = [value for value in values if value not in allowed]
        if wrong:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return values

    return AfterValidator(check)


Limit = Annotated[int, Query(ge=1, le=200, description="Maximum number of entries on a page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]
_ANY = "Only these; repeat it for any of several."
Words = Annotated[list[Annotated[str, Field(max_length=255)]], Query(max_length=50, description=_ANY)]
Ids = Annotated[list[UUID], Query(max_length=50, description=_ANY)]
Labels = Annotated[
    list[Annotated[str, Field(pattern=r"^[^:]+:.*$", max_length=512)]],
    Query(max_length=20, description="`key:value`; repeat it for all of several."),
]
Part = Annotated[str, Query(max_length=255, description="Part of the name or the id.")]
PlanStates = Annotated[list[str], Query(max_length=50, description=_ANY), known(PlanState)]
TaskStates = Annotated[list[str], Query(max_length=50, description=_ANY), known(TaskState)]
Decisions = Annotated[list[str], Query(max_length=10, description=_ANY), known(Decision)]
Reasons = Annotated[list[str], Query(max_length=50, description=_ANY), known(WaitReason)]
Wait = Annotated[
    str | None,
    Query(pattern=r"^([0-5]?[0-9](\.[0-9]{1,3})?|60)s$", description="How long to wait for it: `10s`, at most `60s`."),
]
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})")


def _rfc3339(value: Any) -> Any:
    if isinstance(value, str) and not _INSTANT.fullmatch(value):
        raise ValueError("an instant with its zone is needed, such as 2026-03-29T00:00:00Z")
    return value


InstantParameter = Annotated[Instant, BeforeValidator(_rfc3339)]
MinVersion = Annotated[int | None, Query(ge=0, description="Wait for this version.")]
Until = Annotated[str | None, Query(pattern="^end$", description="`end`: wait for the end.")]


def seconds(wait: str | None) -> float:
    """`10s` as seconds; 0 for None."""
    return min(float(wait.removesuffix("s")), MAX_WAIT_SECONDS) if wait else 0.0


def after(kind: str, text: str | None) -> list[Any] | None:
    """Where the last page ended; raises a `Problem`."""
    try:
        return cursor.decode(kind, text)
    except cursor.BadCursor:
        raise invalid("cursor", text, "only a `next_cursor` of this list is allowed") from None


def answer(body: Any, *, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(to_json(body), headers=headers, media_type="application/json")


def page(kind: str, found: Page) -> Response:
    return answer({"items": found.items, "next_cursor": cursor.encode(kind, found.next_after)})
