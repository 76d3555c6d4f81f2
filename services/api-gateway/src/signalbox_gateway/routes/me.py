"""In: me_show, freeze_active. Changes: nothing."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Request, Response

from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import freezes
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import answer

router = PrefixRouter(tags=["me"])


@router.get("/me", operation_id="me_show", response_model=answers.Me)
async def me_show(
    request: Request, deps: Deps, principal: Annotated[Principal, Depends(permission("me.read"))]
) -> Response:
    """The account of the token, its permissions and its expiry."""
    by_cookie = principal.session is not None and "authorization" not in request.headers
    csrf_token = await deps.identity.authentication.csrf_token(principal.session) if by_cookie else None
    return answer(
        {
            "name": principal.name, "actor": principal.actor, "token_id": principal.token_id,
            "permissions": sorted(principal.granted()), "expires_at": principal.expires_at, "id": principal.id,
            "bindings": [asdict(one) for one in principal.bindings], "csrf_token": csrf_token,
        }
    )  # fmt: skip


@router.get(
    "/me/freezes", operation_id="freeze_active", response_model=answers.FreezeNotices,
    dependencies=[Depends(permission("freeze.read"))],
)  # fmt: skip
async def freeze_active(request: Request, deps: Deps) -> Response:
    """The freezes that hold the caller's work now: why, since when and until when.

    Also those that the caller may not see as definitions, such as a freeze of everything.
    """
    async with deps.database.connection() as connection:
        return answer({"items": await freezes.active_for(connection, request.state.reach)})
