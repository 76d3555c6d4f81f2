"""`signalbox oozie`: reruns of workflows and coordinator actions, previewed and applied."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from signalbox_client import inputs, watch
from signalbox_client.api import place
from signalbox_client.command import PLAN, command, group
from signalbox_client.inputs import Form, Rate, Reason, Timeout, Wait, Waiting, Yes, api, finite
from signalbox_client.output import Column, echo, one, rows
from signalbox_client.reconnect import Reconnect, patient

oozie = group("Reruns on Oozie: what would run is previewed, and exactly that is applied.")
ANSWER_SECONDS: Final = 120.0
"""How long an Oozie server may take where no `--timeout` is given."""
_STILL: Final = frozenset({"ACCEPTED", "RESOLVING"})
PREVIEW: Final[tuple[Column, ...]] = (
    ("key", "key"), ("decision", "decision"), ("lives in", lambda item: _home(item)), ("reason", "reason"),
    ("name", "expected.name"), ("nominal time", "expected.nominal_at"), ("skips", "expected.skip_nodes"),
    ("deletes", "deletes"), ("command", "expected.command"),
)  # fmt: skip
Many = list[str] | None


@command(oozie, "rerun")
def oozie_rerun(
    engine: Annotated[str, typer.Option("--engine", help="the Oozie server")] = "",
    workflow: Annotated[Many, typer.Option("--workflow", help="a workflow's id; repeatable")] = None,
    coordinator: Annotated[Many, typer.Option("--coordinator", help="a coordinator's id; repeatable")] = None,
    bundle: Annotated[Many, typer.Option("--bundle", help="a bundle's id; repeatable")] = None,
    action: Annotated[Many, typer.Option("--action", help="numbers of actions: 7 or 3-9; repeatable")] = None,
    since: Annotated[str, typer.Option("--from", help="nominal or creation times from this one on (ISO 8601)")] = "",
    until: Annotated[str, typer.Option("--until", help="nominal or creation times up to this one")] = "",
    name: Annotated[str, typer.Option("--name", help="workflows of this name")] = "",
    user: Annotated[str, typer.Option("--user", help="workflows of this user")] = "",
    text: Annotated[str, typer.Option("--text", help="workflows whose name, user or id contains this")] = "",
    state: Annotated[Many, typer.Option("--state", help="workflows in this state, such as failed; repeatable")] = None,
    policy: Annotated[str, typer.Option("--policy", help="missing | failed | all")] = "failed",
    scope: Annotated[str, typer.Option("--scope", help="all | skip_successful | only_failed | nodes")] = "all",
    node: Annotated[Many, typer.Option("--node", help="a node to rerun, with --scope nodes; repeatable")] = None,
    property: Annotated[Many, typer.Option("-D", "--property", help="name=value to override; repeatable")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="check the inputs again")] = False,
    clean_up: Annotated[bool, typer.Option("--clean-up", help="delete the outputs first")] = False,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="the newest first")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="maximum number at once")] = None,
    starts_per_minute: Rate = None,
    canary: Annotated[int | None, typer.Option("--canary", min=1, help="number of items that run first, alone")] = None,
    brake: Annotated[
        float | None, typer.Option("--brake", callback=finite, help="stop at this share of failures, such as 0.2")
    ] = None,
    brake_after: Annotated[int, typer.Option("--brake-after", min=1, help="not before this number has ended")] = 20,
    preview: Annotated[bool, typer.Option("--preview", help="show what would run, and start nothing")] = False,
    apply: Annotated[str, typer.Option("--apply", help="the hash of a preview: start exactly that")] = "",
    plan: Annotated[str, typer.Option("--plan", help="the previewed plan, with --apply")] = "",
    confirm_deletions: Annotated[bool, typer.Option("--confirm-deletions", help="delete the listed outputs")] = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Rerun workflows, or actions of coordinators and bundles: preview first, then apply."""
    if apply:
        _apply(plan, apply, confirm_deletions, reason, wait=wait, timeout=timeout, output=output)
        return
    if not (preview or yes or sys.stdin.isatty()):
        refusal = "without a terminal, give --yes to rerun what is found, or --preview to see it and --apply afterwards"
        raise typer.BadParameter(refusal, param_hint="--yes")
    selection = _selection(
        workflow=workflow, coordinator=coordinator, bundle=bundle, action=action, since=since, until=until, name=name,
        user=user, text=text, state=state,
    )  # fmt: skip
    selection["rerun"] = {
        "scope": scope, "nodes": node or [], "policy": policy, "properties": _properties(property),
        "refresh": refresh, "clean_up": clean_up,
    }  # fmt: skip
    rules = _rules(newest_first, limit, starts_per_minute, canary, brake, brake_after)
    body = {
        "selections": [{"engine": engine, "selection": selection}], "preview": True, "rules": rules, "reason": reason,
    }  # fmt: skip
    waiting = Waiting(True, _seconds(timeout))
    previewed = _until_previewed(waiting.api().post("/plans", body)["id"], waiting.seconds)
    _show(previewed, output)
    if preview or previewed["state"] != "PREVIEWED":
        if previewed["state"] != "PREVIEWED":
            watch.ended_well(previewed, "plan")
        return
    counts = previewed["counts"]
    inputs.sure(f"Rerun {counts['waiting']} of {counts['total']}?", yes)
    _apply(
        previewed["id"], previewed["preview_hash"], confirm_deletions, reason, wait=wait, timeout=timeout, output=output
    )


def _selection(**given: Any) -> dict[str, Any]:
    """The selection that the options describe."""
    since, until = given["since"], given["until"]
    if given["coordinator"] or given["bundle"]:
        dates = [[since, until]] if since and until else []
        if bool(since) != bool(until):
            raise typer.BadParameter("--from and --until are both needed for actions", param_hint="--from")
        return {
            "kind": "oozie_actions", "coordinators": given["coordinator"] or [], "bundles": given["bundle"] or [],
            "numbers": [number_range(text) for text in given["action"] or ()], "dates": dates,
        }  # fmt: skip
    found: dict[str, Any] = {
        "kind": "oozie_workflows", "ids": given["workflow"] or [], "name": given["name"] or None,
        "user": given["user"] or None, "text": given["text"] or None, "phases": given["state"] or [],
        "from_at": since or None, "until_at": until or None,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def number_range(text: str) -> list[int]:
    """Both ends of a range of action numbers."""
    first, dash, last = text.partition("-")
    if not text.isascii() or not first.isdigit() or (dash and not last.isdigit()):
        raise typer.BadParameter(f"{text!r} is no number and no range such as 3-9", param_hint="--action")
    return [int(first), int(last or first)]


def _properties(given: Many) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} is not name=value", param_hint="-D")
        found[name] = value
    return found


def _rules(
    newest_first: bool, limit: int | None, starts_per_minute: float | None, canary: int | None, brake: float | None,
    brake_after: int,
) -> dict[str, Any]:  # fmt: skip
    rules: dict[str, Any] = {
        "order": "newest_first" if newest_first else "oldest_first", "limit": limit,
        "starts_per_minute": starts_per_minute, "canary": {"first": canary} if canary else None,
        "brake": {"failure_ratio": brake, "after_items": brake_after} if brake else None,
    }  # fmt: skip
    return {name: value for name, value in rules.items() if value is not None}


def _seconds(timeout: float | None) -> float:
    return ANSWER_SECONDS if timeout is None else timeout


def _until_previewed(id: str, timeout: float | None) -> dict[str, Any]:
    """The plan once it is previewed, or refused. Raises `TookTooLong`."""
    return watch.until(api(), place("plans", id), lambda found: found["state"] not in _STILL, timeout)


def _show(previewed: dict[str, Any], output: str) -> None:
    items = api().pages(place("plans", previewed["id"], "items"), {}, limit=None if output != "table" else 200)
    rows(items, output, PREVIEW, name="key", empty="nothing is found")
    if previewed["state"] == "PREVIEWED":
        counts = previewed["counts"]
        echo(f"{counts['waiting']} of {counts['total']} would run; valid until {previewed['preview_expires_at']}")
        echo(f"signalbox oozie rerun --plan {previewed['id']} --apply {previewed['preview_hash']}")


def _home(item: Mapping[str, Any]) -> str:
    """Where a date lives now: in Oozie, or in a DAG of Airflow."""
    expected: Mapping[str, Any] = item.get("expected") or {}
    return str(expected.get("lives_in", "oozie"))


def _apply(
    plan: str, hash: str, confirm_deletions: bool, reason: str, *, wait: bool, timeout: float | None, output: str
) -> None:
    if not plan:
        raise typer.BadParameter("--apply needs --plan: the id of the previewed plan", param_hint="--plan")
    body = {"preview_hash": hash, "confirm_deletions": confirm_deletions, "reason": reason}
    until_end, waiting = Waiting(True, timeout), Waiting(True, _seconds(timeout))
    operation = waiting.api().post(place("plans", plan, "apply"), body)["operation_id"]
    watch.operation(api(), operation, timeout=waiting.seconds)
    found = patient(api(), Reconnect()).get(place("plans", plan))
    if wait and found["state"] != "REFUSED":
        found = watch.plan(api(), plan, timeout=until_end.seconds)
    one(found, output, PLAN)
    if wait or found["state"] == "REFUSED":
        watch.ended_well(found, "plan")
