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

pipeline = GROUPS["pipeline"]
Files = Annotated[list[str], typer.Argument(help="files and folders with pipelines in YAML or JSON")]
_PROBLEMS: tuple[Column, ...] = (
    ("place", "place"), ("step", "step"), ("field", "field"), ("problem", "problem"),
)  # fmt: skip
_OUTCOMES: tuple[Column, ...] = (("pipeline", "id"), ("outcome", "outcome"), ("version", "version"))


@command(pipeline, "validate")
def pipeline_validate(files: Files, output: Form = "table") -> None:
    """Check files without a server: every problem with file, line and column."""
    documents, problems = checked(files)
    if problems or output != "table":
        rows(problems, output, _PROBLEMS, name="place")
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
        rows(problems, output, _PROBLEMS, name="place")
        raise typer.Exit(exit_codes.USAGE)
    body = {"pipelines": [document.value for document in documents], "dry_run": dry_run}
    try:
        outcomes = api().post("/pipelines/apply", body)["items"]
    except Refused as refused:
        if refused.status not in (400, 409, 422):
            raise
        rows(problems_of(documents, refused), output, _PROBLEMS, name="place")
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
    if plan:
        steps = api().get(place("plans", plan))["steps"]
    else:
        saved = api().get(place("pipelines", id))
        steps = [
            {**step, "depends_on": [_edge(one) for one in step["depends_on"]], "state": ""} for step in saved["steps"]
        ]
    for line in graph_lines(steps):
        print(plain(line))


def _edge(dependency: dict[str, Any]) -> str:
    when = dependency["when"]
    return dependency["step"] if when == "on_success" else f"{dependency['step']}:{when}"


def checked(files: list[str]) -> tuple[list[Any], list[dict[str, str]]]:
    """The pipelines of these files, and what is wrong with them."""
    from pydantic import ValidationError  # slow to import, and rarely needed

    from signalbox_client.yaml_files import Document, InvalidFile, files_of, read_documents
    from signalbox_contracts.definitions.pipeline import Pipeline
    from signalbox_contracts.definitions.problems import problems_in

    documents: list[Document] = []
    problems: list[dict[str, str]] = []
    for file in files_of(files):
        try:
            documents += read_documents(file)
        except InvalidFile as error:
            where, _, words = str(error).partition(": ")
            problems.append({"place": where, "step": error.step, "field": error.field, "problem": words})
    if not documents and not problems:
        problems.append({"place": ", ".join(files), "step": "", "field": "", "problem": "no pipeline is there"})
    seen: dict[str, str] = {}
    for document in documents:
        written = {"name": document.value.get("id", ""), **document.value}
        try:
            read = Pipeline.model_validate(written, extra="forbid")
        except ValidationError as error:
            problems += [_problem(document, one.field, one.value, one.allowed) for one in problems_in(error)]
            continue
        if read.id in seen:
            problems.append(_problem(document, "id", repr(read.id), f"is in {seen[read.id]} already"))
        seen[read.id] = document.place("id")
    return documents, problems


def _problem(document: Any, field: str, value: str | None, allowed: str) -> dict[str, str]:
    """One problem with its place in a file."""
    words = f"{value}: {allowed}" if value is not None else allowed
    return {"place": document.place(field), "step": document.step(field), "field": field, "problem": words}


def problems_of(documents: list[Any], refused: Refused) -> list[dict[str, str]]:
    """What the server refuses of these files. Raises its problem again when it is not about one of them."""
    problems: list[dict[str, str]] = []
    for one in refused.errors:
        head, _, rest = str(one.get("field", "")).partition(".")
        number, _, field = rest.partition(".")
        if head != "pipelines" or not number.isdigit() or int(number) >= len(documents):
            raise refused
        value = one.get("value")
        problems.append(_problem(documents[int(number)], field, value, str(one.get("allowed", ""))))
    if not problems:
        raise refused
    return problems
