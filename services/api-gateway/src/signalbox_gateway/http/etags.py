"""ETags of definitions and secrets: the revision in quotes. Nothing else has a revision."""

from fastapi import Request

from signalbox_gateway.http.problems import Problem


def etag(revision: int) -> dict[str, str]:
    """The header of an answer."""
    return {"ETag": f'"{revision}"'}


def not_modified(request: Request, revision: int) -> bool:
    """Whether the caller has this revision already."""
    return f'"{revision}"' in [tag.removeprefix("W/") for tag in _tags(request, "if-none-match")]


def must_match(request: Request, revision: int) -> None:
    """Refuse a change that was decided on another revision."""
    request.state.if_match_checked = True
    tags = _tags(request, "if-match")
    if tags and "*" not in tags and f'"{revision}"' not in tags:
        raise Problem("precondition-failed", f'If-Match: {", ".join(tags)} is not the present revision "{revision}"')


def must_be_checked(request: Request) -> None:
    """Refuse `If-Match` where no revision was compared with it: the change would be made whatever it names."""
    if _tags(request, "if-match") and not getattr(request.state, "if_match_checked", False):
        raise Problem("precondition-failed", "If-Match: this resource has no revision; send the request without it")


def _tags(request: Request, header: str) -> list[str]:
    return [tag.strip() for value in request.headers.getlist(header) for tag in value.split(",") if tag.strip()]
