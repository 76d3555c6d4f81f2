"""ETags of definitions: the revision, quoted."""

from fastapi import Request

from signalbox_gateway.definitions import Saved
from signalbox_gateway.http.problems import Problem


def etag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"'}


def not_modified(request: Request, revision: int) -> bool:
    """Whether the caller has this revision already."""
    return f'"{revision}"' in _said(request, "if-none-match")


def must_match(request: Request, saved: Saved) -> None:
    """Refuse a change that was decided on another revision."""
    said = _said(request, "if-match")
    if said and "*" not in said and f'"{saved.revision}"' not in said:
        raise Problem(
            "precondition-failed", f'If-Match: {", ".join(said)} is not the present revision "{saved.revision}"'
        )


def _said(request: Request, header: str) -> list[str]:
    return [one.strip().removeprefix("W/") for one in request.headers.get(header, "").split(",") if one.strip()]
