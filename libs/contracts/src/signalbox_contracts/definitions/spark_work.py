"""What Spark cannot run, or would run otherwise than asked. Pure; checked when a job is saved and before it is sent."""

import re
from collections.abc import Iterator
from typing import Final

from signalbox_contracts.definitions.template import is_template
from signalbox_contracts.definitions.work import SparkWork

RUN_KEY: Final = "spark.signalbox.runKey"
"""A property of ours that stands in the command of every driver: by it a driver is found again."""
FIXED: Final = {
    "spark.master": "the engine says it",
    "spark.submit.deployMode": "drivers run on the cluster",
    "spark.driver.supervise": "a second driver would run beside the first: give the job retries instead",
    "spark.app.name": "the run key is the name, so that a run is found again",
    RUN_KEY: "it is ours",
}
"""Settings that no work may have, and why."""
_SIZE: Final = re.compile(r"\d{1,9}[kmgtpKMGTP]?[bB]?")
_COUNT: Final = re.compile(r"[1-9]\d{0,5}")
_FORMS: Final = {
    "spark.driver.memory": (_SIZE, "a size such as 512m or 4g"),
    "spark.executor.memory": (_SIZE, "a size such as 512m or 4g"),
    "spark.driver.cores": (_COUNT, "a number from 1 on"),
    "spark.executor.cores": (_COUNT, "a number from 1 on"),
    "spark.cores.max": (_COUNT, "a number from 1 on"),
}


def spark_problems(work: SparkWork) -> Iterator[tuple[str, str]]:
    """Each field that is wrong (`conf.spark.master`) and what is allowed. What a template decides is not judged."""
    yield from _file_problems(work)
    if not is_template(work.application):
        if not is_python(work) and not work.main_class:
            yield "main_class", f"{work.application} is no Python file, and a JAR needs its main class"
        if is_python(work) and work.main_class:
            yield "main_class", "a Python application has no main class"
    for key, value in work.conf.items():
        if key in FIXED:
            yield f"conf.{key}", f"it cannot be set: {FIXED[key]}"
        elif not key.startswith("spark."):
            yield f"conf.{key}", "Spark takes settings that begin with spark. only"
        elif key in _FORMS and not is_template(value) and not _FORMS[key][0].fullmatch(value):
            yield f"conf.{key}", f"{value[:100]!r} is not allowed: {_FORMS[key][1]}"


def _file_problems(work: SparkWork) -> Iterator[tuple[str, str]]:
    for field in ("jars", "py_files", "files"):
        for index, text in enumerate(getattr(work, field)):
            if "," in text and not is_template(text):
                yield f"{field}.{index}", "a comma is not allowed: Spark separates files by it"


def is_python(work: SparkWork) -> bool:
    """Whether the application is a Python file."""
    return work.application.partition("?")[0].lower().endswith(".py")
