"""`signalbox pipeline validate`, `apply`, `run` and `graph`."""

from typing import Annotated, Any

import typer

from signalbox_client import exit_codes, inputs
from signalbox_client.api import Refused, place
from signalbox_client.command import command, started
from signalbox_client.commands.definitions import GROUPS
from signalbox_client.drawings import graph_lines
from signalbox_client.inputs import Form, Reason, Timeout, Wait, Waiting, api
from signalbox_client.output import Column, echo, plain, rows
from signalbox_client.pipeline_files import PROBLEMS, checked, problems_of

pipeline = GROUPS["pipeline"]
Files = Annotated[list[str], typer.Argument(help="files and folders with pipelines in YAML or JSON")]
DETAILED_STEPS = 100
"""A plan of more steps has neither their edges nor their reasons."""
_OUTCOMES: tuple[Column, ...] = (("pipeline", "id"), ("outcome", "outcome"), ("version", "version"))


@command(pipeline, "validate")
def pipeline_validate(files: Files, output: Form = "table") -> None:
    """Check files without a server: every problem with file, line and column."""
    documents, problems = checked(files)
    if problems or output != "table":
        rows(problems, output, PROBLEMS, name="place")
    if problems:
        raise typer.Exit(exit_codes.USAGE)
    echo(f"{len(documents)} pipelines are valid")


@command(pipeline, "apply")
def pipeline_apply(
    files: Files,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check everything and save nothing")] = False,
    output: Form = "table",
) -> None:
    """Save the pipelines of files and folders: all of them, or none."""
    documents, problems = checked(files)
    if problems:
        rows(problems, output, PROBLEMS, name="place")
        raise typer.Exit(exit_codes.USAGE)
    body = {"pipelines": [document.value for document in documents], "dry_run": dry_run}
    try:
        outcomes = api().post("/pipelines/apply", body)["items"]
    except Refused as refused:
        if refused.status not in (400, 409, 422):
            raise
        rows(problems_of(documents, refused), output, PROBLEMS, name="place")
        echo(f"nothing was saved; trace {refused.trace_id}")
        raise typer.Exit(exit_codes.USAGE) from None
    rows(outcomes, output, _OUTCOMES)


@command(pipeline, "run")
def pipeline_run(
    id: str,
    param: Annotated[list[str] | None, typer.Option("-p", "--param", help="name=value; repeatable")] = None,
    rules: Annotated[str, typer.Option("--rules", help="file with the plan's rules")] = "",
    event_date: Annotated[str, typer.Option("--event-date", "--date", help="YYYY-MM-DD; yesterday in UTC")] = "",
    label: Annotated[list[str] | None, typer.Option("--label", help="key=value; repeatable")] = None,
    version: int | None = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Run a pipeline: prints the plan."""
    given, waiting = inputs.pairs(param, "--param"), Waiting(wait, timeout)
    path = place("pipelines", id)
    declared: dict[str, Any] = waiting.api().get(path, {"version": version})["params"] if given else {}
    body: dict[str, Any] = {"params": inputs.typed(given, declared), "reason": reason, "labels": inputs.labels(label)}
    body |= {"rules": inputs.document(rules)} if rules else {}
    body |= {"event_date": event_date} if event_date else {}
    body |= {"version": version} if version is not None else {}
    started(waiting.api().post(f"{path}/run", body), output, waiting)


@command(pipeline, "graph")
def pipeline_graph(
    id: str, plan: Annotated[str, typer.Option("--plan", help="with the states of this plan's steps")] = ""
) -> None:  # fmt: skip
    """Draw the steps of a pipeline and their dependencies."""
    found: dict[str, Any] = api().get(place("plans", plan)) if plan else {}
    if plan and found["target"] != f"pipeline:{id}":
        raise typer.BadParameter(f"{plan} ran {found['target'] or 'items'}, not pipeline:{id}", param_hint="--plan")
    steps: list[dict[str, Any]] = found.get("steps") or []
    if not plan or len(steps) > DETAILED_STEPS:
        defined = _defined(id, found.get("target_version"))
        ran = {step["id"]: step for step in steps}
        steps = [{**step, **ran.get(step["id"], {}), "depends_on": step["depends_on"]} for step in defined]
    for line in graph_lines(steps):
        print(plain(line))


def _defined(id: str, version: int | None) -> list[dict[str, Any]]:
    """The steps of a version of a pipeline, as those of a plan that has not begun."""
    saved = api().get(place("pipelines", id), {"version": version})
    return [{**step, "depends_on": [_edge(one) for one in step["depends_on"]], "state": ""} for step in saved["steps"]]


def _edge(dependency: dict[str, Any]) -> str:
    when = dependency["when"]
    return dependency["step"] if when == "on_success" else f"{dependency['step']}:{when}"
