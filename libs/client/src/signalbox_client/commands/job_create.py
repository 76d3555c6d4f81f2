"""`signalbox job create`: a job from a file, of a Spark application, or of a container image."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

import typer

from signalbox_client import inputs
from signalbox_client.command import EndsWithCommand, command, words_after
from signalbox_client.commands.definitions import GROUPS, JOB
from signalbox_client.inputs import Form, api
from signalbox_client.output import one


@command(GROUPS["job"], "create", cls=EndsWithCommand)
def job_create(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="the job's id; the application's or image's name if left out")] = "",
    file: Annotated[str, typer.Option("-f", "--file", help="YAML or JSON; `-` is the standard input")] = "",
    spark: Annotated[str, typer.Option("--spark", help="a Spark application: .py or JAR, a path on the workers")] = "",
    image: Annotated[str, typer.Option("--image", help="a container image that the cluster can pull")] = "",
    env: Annotated[list[str] | None, typer.Option("--env", help="NAME=value of the work; repeatable")] = None,
    engine: Annotated[str, typer.Option("--engine", help="the engine")] = "",
    max_attempts: Annotated[
        int | None, typer.Option("--max-attempts", min=1, help="maximum number of attempts")
    ] = None,
    main_class: Annotated[str, typer.Option("--class", help="main class of a JAR")] = "",
    arg: Annotated[list[str] | None, typer.Option("--arg", help="argument of the application; repeatable")] = None,
    conf: Annotated[list[str] | None, typer.Option("--conf", help="spark.name=value; repeatable")] = None,
    jar: Annotated[list[str] | None, typer.Option("--jar", help="a JAR that it needs; repeatable")] = None,
    py_file: Annotated[
        list[str] | None, typer.Option("--py-file", help="a Python file that it needs; repeatable")
    ] = None,
    with_file: Annotated[list[str] | None, typer.Option("--with-file", help="a file that it needs; repeatable")] = None,
    completions: Annotated[
        int | None, typer.Option("--completions", min=1, help="more than 1: an Indexed Job with this number")
    ] = None,
    index: Annotated[
        list[int] | None, typer.Option("--index", min=0, help="run only this index of them; repeatable")
    ] = None,
    parallelism: Annotated[int | None, typer.Option("--parallelism", min=1, help="pods at a time")] = None,
    request: Annotated[list[str] | None, typer.Option("--request", help="such as cpu=500m; repeatable")] = None,
    limit: Annotated[list[str] | None, typer.Option("--limit", help="such as memory=1Gi; repeatable")] = None,
    service_account: Annotated[str, typer.Option("--service-account", help="of the pods")] = "",
    output: Form = "table",
) -> None:
    """Save a new job: from a file, of a Spark application, or of an image with its command after `--`."""
    if sum(map(bool, (file, spark, image))) != 1:
        raise typer.BadParameter("give one of --file, --spark and --image")
    words = words_after(context)
    of_spark = {
        "main_class": main_class, "arguments": arg, "jars": jar, "py_files": py_file, "files": with_file,
        "conf": inputs.pairs(conf, "--conf"),
    }  # fmt: skip
    of_image = {
        "command": words, "completions": completions, "indexes": index, "parallelism": parallelism,
        "service_account": service_account,
        "requests": inputs.pairs(request, "--request"), "limits": inputs.pairs(limit, "--limit"),
    }  # fmt: skip
    environment = {"environment": inputs.pairs(env, "--env")}
    if file:
        if any([*of_spark.values(), *of_image.values(), *environment.values(), id, engine, max_attempts]):
            raise typer.BadParameter("a file has all of the job: nothing can be given beside it")
        definition = inputs.document(file)
    elif spark:
        _refuse(of_image, "--spark", "a command after --, --completions, --index, --parallelism, --request, --limit")
        work = {"kind": "spark", "application": spark, **of_spark, **environment}
        definition = _job(id or PurePosixPath(spark).stem, work, engine, max_attempts)
    else:
        _refuse(of_spark, "--image", "--class, --arg, --conf, --jar, --py-file, --with-file")
        work = {"kind": "kubernetes", "image": image, **of_image, **environment}
        definition = _job(id or re.split(r"[:@]", PurePosixPath(image).name)[0], work, engine, max_attempts)
    one(api().post("/jobs", definition), output, JOB.lines)


def _refuse(options: dict[str, Any], used: str, foreign: str) -> None:
    if any(options.values()):
        raise typer.BadParameter(f"{used} takes none of {foreign}")


def _job(name: str, work: dict[str, Any], engine: str, max_attempts: int | None) -> dict[str, Any]:
    """The definition, without what was not given."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")
    definition: dict[str, Any] = {
        "id": name,
        "name": name,
        "work": {key: value for key, value in work.items() if value},
    }
    definition |= {"engine": engine} if engine else {}
    return definition | ({"retries": {"max_attempts": max_attempts}} if max_attempts else {})
