"""`signalbox job`."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, show_answer, started
from signalbox_client.commands.definitions import GROUPS
from signalbox_client.inputs import Form, Reason, Timeout, Wait, Waiting, Yes
from signalbox_client.output import echo

job = GROUPS["job"]
Kill = Annotated[bool, typer.Option("--kill", help="stop running work as well")]


@command(job, "start")
def job_start(
    id: str,
    param: Annotated[list[str] | None, typer.Option("-p", "--param", help="name=value; repeatable")] = None,
    rules: Annotated[str, typer.Option("--rules", help="file with the plan's rules")] = "",
    event_date: str = "",
    label: Annotated[list[str] | None, typer.Option("--label", help="key=value; repeatable")] = None,
    version: int | None = None,
    from_savepoint: Annotated[
        str, typer.Option("--from-savepoint", help="path of a savepoint of a Flink job, or: latest")
    ] = "",
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Start a job: prints the plan."""
    given, waiting = inputs.pairs(param, "--param"), Waiting(wait, timeout)
    declared: dict[str, Any] = waiting.api().get(place("jobs", id), {"version": version})["params"] if given else {}
    body: dict[str, Any] = {"params": inputs.typed(given, declared), "reason": reason, "labels": inputs.labels(label)}
    body |= {"rules": inputs.document(rules)} if rules else {}
    body |= {"event_date": event_date} if event_date else {}
    body |= {"version": version} if version is not None else {}
    body |= {"from_savepoint": from_savepoint} if from_savepoint else {}
    started(waiting.api().post(place("jobs", id, "start"), body), output, waiting)


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
    body = {"reason": reason, **({"kill": True} if kill else {})}
    waiting = Waiting(wait, timeout)
    stopped = waiting.api().post(place("jobs", id, "stop"), body)
    show_answer(stopped, output, waiting)
    if not stopped["operations"]:
        echo(f"job {id} has no live plan")
