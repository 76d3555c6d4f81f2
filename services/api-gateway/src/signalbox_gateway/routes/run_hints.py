"""In: run_hint. Changes: nothing. Out: runs.observe, a moment later.

Called by engines, not by people: the address of each run carries a token of its own. What the caller reports is not
read: a hint makes the executor look at the run sooner, and a forged one does no more.
"""

from fastapi import Request, Response

from signalbox_chassis.security.run_hints import hint_keys, is_hint
from signalbox_contracts.ids import is_run_key
from signalbox_gateway.http.access import count_call, too_many
from signalbox_gateway.http.dependencies import Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem

router = PrefixRouter(prefix="/run-hints", include_in_schema=False)


@router.get("/{engine_id}/{run_key}/{token}")
async def run_hint(engine_id: str, run_key: str, token: str, request: Request, deps: Deps) -> Response:
    """200, also for a run that has long ended: Oozie repeats a notification that is answered otherwise."""
    await count_call(request, deps, None)
    keys = hint_keys(deps.settings.secret_key.get_secret_value())
    if not is_run_key(run_key) or not is_hint(keys, engine_id, run_key, token):
        raise Problem("not-found", "no run has this address")
    if not deps.run_hints.take(engine_id, run_key, deps.clock.now()):
        raise too_many(60, "too many hints about this run")
    return Response(b"{}", media_type="application/json")
