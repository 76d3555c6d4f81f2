"""`signalbox job`."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import asked, command, group, started
from signalbox_client.commands.engines import IfRevision, match
from signalbox_client.inputs import Everything, File, Form, Label, Most, Reason, Timeout, Wait, Yes, api
from signalbox_client.output import Column, ago, one, rows, say

job = group("Saved, versioned work on one engine.")
Kill = Annotated[bool, typer.Option("--kill", help="stop what runs as well")]
COLUMNS: tuple[Column, ...] = (
    ("job", "id"), ("version", "version"), ("work", "work.kind"), ("engine", "engine"),
    ("changed", lambda found: ago(found["updated_at"])), ("by", "updated_by"), ("name", "name"),
)  # fmt: skip
FIELDS: tuple[Column, ...] = (
    *COLUMNS[:4], ("name", "name"), ("description", "description"), ("does", "work"), ("params", "params"),
    ("retries", "retries"), ("time limits", "time_limits"), ("project", "project"), ("labels", "labels"),
    ("revision", "revision"), ("changed", "updated_at"), ("by", "updated_by"),
)  # fmt: skip
VERSIONS: tuple[Column, ...] = (
    ("version", "version"), ("revision", "revision"), ("made", "created_at"), ("by", "created_by"), ("does", "work"),
)  # fmt: skip


@command(job, "list")
def job_list(
    engine: list[str] | None = None,
    project: list[str] | None = None,
    label: Label = None,
    q: str = "",
    limit: Most = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List jobs."""
    params = {"engine": engine, "project": project, "label": label, "q": q}
    found = api().pages("/jobs", params, most=inputs.most(limit, all))
    rows(found, output, COLUMNS, empty="no jobs: `signalbox job create -f FILE` saves one")


@command(job, "show")
def job_show(id: str, version: int | None = None, output: Form = "table") -> None:
    """Show a job, or one of its versions."""
    one(api().get(place("jobs", id), {"version": version}), output, FIELDS)


@command(job, "versions")
def job_versions(id: str, output: Form = "table") -> None:
    """List the versions of a job, the newest first."""
    rows(api().get(place("jobs", id, "versions"))["items"], output, VERSIONS, name="version")


@command(job, "create")
def job_create(file: File, output: Form = "table") -> None:
    """Save a job from a file."""
    one(api().post("/jobs", inputs.document(file)), output, FIELDS)


@command(job, "update")
def job_update(id: str, file: File, if_revision: IfRevision = None, output: Form = "table") -> None:
    """Save the next version of a job."""
    one(api().put(place("jobs", id), inputs.document(file), headers=match(if_revision)), output, FIELDS)


@command(job, "delete")
def job_delete(id: str, if_revision: IfRevision = None, yes: Yes = False) -> None:
    """Remove a job; its plans stay."""
    inputs.sure(f"Remove job {id}?", yes)
    api().delete(place("jobs", id), headers=match(if_revision))
    say(f"job {id} is removed")


@command(job, "start")
def job_start(
    id: str,
    param: Annotated[list[str] | None, typer.Option("-p", "--param", help="name=value; repeatable")] = None,
    rules: Annotated[str, typer.Option("--rules", help="file with the plan's rules")] = "",
    event_date: str = "",
    label: Annotated[list[str] | None, typer.Option("--label", help="key=value; repeatable")] = None,
    version: int | None = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Start a job: prints the plan."""
    body: dict[str, Any] = {"params": inputs.pairs(param, "--param"), "reason": reason, "labels": inputs.labels(label)}
    body |= {"rules": inputs.document(rules)} if rules else {}
    body |= {"event_date": event_date} if event_date else {}
    body |= {"version": version} if version is not None else {}
    started(api().post(place("jobs", id, "start"), body), output, wait=wait, timeout=timeout)


@command(job, "stop")
def job_stop(
    id: str,
    kill: Kill = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Cancel every live plan of a job."""
    inputs.sure(f"Cancel every live plan of job {id}?", yes)
    said = api().post(place("jobs", id, "stop"), {"kill": kill, "reason": reason})
    if said["operations"]:
        asked(said, output, wait=wait, timeout=timeout)
    else:
        say(f"no plan of job {id} is live")
