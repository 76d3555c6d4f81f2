"""`signalbox job`."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, show_answer, started
from signalbox_client.commands.definitions import GROUPS, JOB
from signalbox_client.inputs import Form, Reason, Timeout, Wait, Yes, api
from signalbox_client.output import echo, one

job = GROUPS["job"]
Kill = Annotated[bool, typer.Option("--kill", help="stop what runs as well")]


@command(job, "create")
def job_create(
    id: Annotated[str, typer.Argument(help="the job's id; the application's name if left out")] = "",
    file: Annotated[str, typer.Option("-f", "--file", help="YAML or JSON; `-` is the standard input")] = "",
    spark: Annotated[str, typer.Option("--spark", help="a Spark application: .py or JAR, as the workers see it")] = "",
    main_class: Annotated[str, typer.Option("--class", help="main class of a JAR")] = "",
    arg: Annotated[list[str] | None, typer.Option("--arg", help="argument of the application; repeatable")] = None,
    conf: Annotated[list[str] | None, typer.Option("--conf", help="spark.name=value; repeatable")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", help="NAME=value of the driver; repeatable")] = None,
    jar: Annotated[list[str] | None, typer.Option("--jar", help="JAR it needs; repeatable")] = None,
    py_file: Annotated[list[str] | None, typer.Option("--py-file", help="Python it needs; repeatable")] = None,
    with_file: Annotated[list[str] | None, typer.Option("--with-file", help="file it needs; repeatable")] = None,
    engine: Annotated[str, typer.Option("--engine", help="what it runs on")] = "",
    max_attempts: Annotated[int | None, typer.Option("--max-attempts", min=1, help="most tries")] = None,
    output: Form = "table",
) -> None:
    """Save a new job, from a file or of a Spark application."""
    if bool(file) == bool(spark):
        raise typer.BadParameter("give either --file or --spark")
    work: dict[str, Any] = {"main_class": main_class or None, "arguments": arg, "jars": jar, "py_files": py_file}
    work |= {"files": with_file, "conf": inputs.pairs(conf, "--conf"), "environment": inputs.pairs(env, "--env")}
    given = {name: value for name, value in work.items() if value}
    if file:
        if given or id or engine or max_attempts:
            raise typer.BadParameter("a file has all of the job: nothing can be given beside it")
        definition = inputs.document(file)
    else:
        name = id or re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(spark).stem).lstrip("._-")
        definition = {"id": name, "name": name, "work": {"kind": "spark", "application": spark, **given}}
        definition |= {"engine": engine} if engine else {}
        definition |= {"retries": {"max_attempts": max_attempts}} if max_attempts else {}
    one(api().post("/jobs", definition), output, JOB.lines)


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
    given = inputs.pairs(param, "--param")
    declared: dict[str, Any] = api().get(place("jobs", id), {"version": version})["params"] if given else {}
    body: dict[str, Any] = {"params": inputs.typed(given, declared), "reason": reason, "labels": inputs.labels(label)}
    body |= {"rules": inputs.document(rules)} if rules else {}
    body |= {"event_date": event_date} if event_date else {}
    body |= {"version": version} if version is not None else {}
    body |= {"from_savepoint": from_savepoint} if from_savepoint else {}
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
    body = {"reason": reason, **({"kill": True} if kill else {})}
    stopped = api().post(place("jobs", id, "stop"), body)
    if stopped["operations"]:
        show_answer(stopped, output, wait=wait, timeout=timeout)
    else:
        echo(f"no plan of job {id} is live")
