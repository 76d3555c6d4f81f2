"""`signalbox plan rerun` and `signalbox plan timeline`: what a plan has besides its state when it ran a pipeline."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import Api, place
from signalbox_client.command import command, started
from signalbox_client.commands.plans import plan
from signalbox_client.drawings import timeline_lines
from signalbox_client.inputs import Form, Reason, Timeout, Wait, Waiting, api
from signalbox_client.output import plain


@command(plan, "rerun")
def plan_rerun(
    id: str,
    scope: Annotated[str, typer.Option("--scope", help="start | failed | from | only")] = "failed",
    step: Annotated[list[str] | None, typer.Option("--step", help="for `from` and `only`; repeatable")] = None,
    latest: Annotated[bool, typer.Option("--latest", help="the newest version, not the version that ran")] = False,
    param: Annotated[list[str] | None, typer.Option("-p", "--param", help="name=value; repeatable")] = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Run a part of a pipeline's plan again: prints the new plan."""
    given, waiting = inputs.pairs(param, "--param"), Waiting(wait, timeout)
    params = inputs.typed(given, _declared(waiting.api(), id, latest=latest)) if given else {}
    body: dict[str, Any] = {"scope": scope, "steps": step or [], "latest": latest, "params": params, "reason": reason}
    started(waiting.api().post(place("plans", id, "rerun"), body), output, waiting)


def _declared(api: Api, id: str, *, latest: bool) -> dict[str, Any]:
    """The parameters of the pipeline that a plan ran, in the version that is to run again."""
    ran = api.get(place("plans", id))
    kind, _, pipeline = str(ran.get("target") or "").partition(":")
    if kind != "pipeline":
        return {}
    version = None if latest else ran.get("target_version")
    return api.get(place("pipelines", pipeline), {"version": version})["params"]


@command(plan, "timeline")
def plan_timeline(id: str) -> None:
    """Draw when each step of a plan ran, and how long."""
    found = api().get(place("plans", id))
    for line in timeline_lines(found, datetime.now(UTC)):
        print(plain(line))
