"""The request that starts a driver, from the work. Pure.

A Python application runs as `SparkSubmit` in client mode inside of the driver (Spark 4.3, REST submission server).
With the fence the launcher is started in place of the application, which becomes its first argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalbox_contracts.definitions.spark_work import RUN_KEY, is_python, spark_problems
from signalbox_contracts.definitions.work import SparkWork
from signalbox_executor.engines.port import EngineRefused

PYTHON_CLASS: Final = "org.apache.spark.deploy.SparkSubmit"
JVM_CLASS: Final = "signalbox.Launcher"
LISTENER: Final = "signalbox.StageListener"
LISTENERS: Final = "spark.extraListeners"
JAR_NAME: Final = "signalbox-launcher.jar"
_SCHEMES: Final = ("local", "file")


@dataclass(frozen=True, slots=True)
class Fenced:
    """How the launcher claims the start."""

    url: str
    """Of the API of Signalbox."""
    secret: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The engine that a request is for."""

    name: str
    master_url: str
    version: str
    conf: Mapping[str, str]


def check(work: SparkWork, engine: str) -> None:
    """Raise `EngineRefused` with the field for work that Spark cannot run, or would run otherwise than asked."""
    for field, text in _texts(work):
        if "{{" in text or "}}" in text:
            reason = "{{ and }} are not allowed: the master puts variables of its own environment there"
            raise EngineRefused(engine, reason, field=f"work.{field}", value=text[:200])
        if "\0" in text:
            raise EngineRefused(engine, "a zero character is not allowed", field=f"work.{field}")
    for field, allowed in spark_problems(work):
        raise EngineRefused(engine, allowed, field=f"work.{field}")


def create_request(work: SparkWork, run_key: str, target: Target, fenced: Fenced | None) -> dict[str, Any]:
    """The body of a create request."""
    conf = {**target.conf, **work.conf}
    environment = {"SPARK_ENV_LOADED": "1", **work.environment, "SIGNALBOX_RUN_KEY": run_key}
    properties = {
        "spark.app.name": run_key, RUN_KEY: run_key, "spark.master": target.master_url,
        "spark.submit.deployMode": "cluster", "spark.driver.supervise": "false",
    }  # fmt: skip
    if fenced is not None:
        environment |= fence_environment(run_key, fenced)
        conf[LISTENERS] = ",".join(part for part in (conf.get(LISTENERS, ""), LISTENER) if part)
    parts = _python(work, conf, properties, fenced) if is_python(work) else _jvm(work, conf, properties, fenced)
    return {
        "action": "CreateSubmissionRequest", "clientSparkVersion": target.version,
        "environmentVariables": environment, **parts,
    }  # fmt: skip


def fence_environment(run_key: str, fenced: Fenced) -> dict[str, str]:
    """What the launcher needs to claim a start."""
    return {
        "SIGNALBOX_START_URL": f"{starts_url(fenced.url)}/{run_key}",
        "SIGNALBOX_START_SECRET": fenced.secret,
        "SIGNALBOX_CLAIM_SECONDS": f"{fenced.seconds:g}",
    }


def starts_url(url: str) -> str:
    """Where starts are claimed, of an API."""
    return f"{url.rstrip('/')}/api/v1/starts"


def launcher_url(url: str, name: str) -> str:
    """Where a launcher is fetched."""
    return f"{starts_url(url)}/launchers/{name}"


def _jvm(
    work: SparkWork, conf: Mapping[str, str], properties: Mapping[str, str], fenced: Fenced | None
) -> dict[str, Any]:
    jars = [work.application, *work.jars]
    arguments = list(work.arguments)
    main_class, resource = work.main_class or "", work.application
    if fenced is not None:
        main_class, resource = JVM_CLASS, launcher_url(fenced.url, JAR_NAME)
        arguments = [work.main_class or "", *arguments]
    files = {"spark.files": ",".join(work.files)} if work.files else {}
    return {
        "appResource": resource, "mainClass": main_class, "appArgs": arguments,
        "sparkProperties": {**conf, **files, "spark.jars": ",".join(jars), **properties},
    }  # fmt: skip


def _python(
    work: SparkWork, conf: Mapping[str, str], properties: Mapping[str, str], fenced: Fenced | None
) -> dict[str, Any]:
    """The driver's own properties, and the words of a `spark-submit` that runs in it."""
    py_files, jars, words = list(work.py_files), list(work.jars), [work.application, *work.arguments]
    if fenced is not None:
        jars = [*jars, launcher_url(fenced.url, JAR_NAME)]
        words = [launcher_url(fenced.url, "launcher.py"), path_of(work.application), *work.arguments]
        if path_of(work.application) == work.application and "://" in work.application:
            py_files = [work.application, *py_files]
    submit = ["--name", properties["spark.app.name"], "--master", properties["spark.master"], "--deploy-mode", "client"]
    for option, values in (("--jars", jars), ("--py-files", py_files), ("--files", work.files)):
        submit += [option, ",".join(values)] if values else []
    submit += [word for key, value in sorted(conf.items()) for word in ("--conf", f"{key}={value}")]
    driver = {key: value for key, value in conf.items() if key.startswith("spark.driver.")}
    return {
        "appResource": "", "mainClass": PYTHON_CLASS, "appArgs": [*submit, *words],
        "sparkProperties": {**driver, **properties},
    }  # fmt: skip


def path_of(application: str) -> str:
    """The path of an application that the workers have; the URL of another one."""
    scheme, colon, rest = application.partition(":")
    if not colon or scheme not in _SCHEMES:
        return application
    return "/" + rest.lstrip("/")


def _texts(work: SparkWork) -> list[tuple[str, str]]:
    lists = {name: getattr(work, name) for name in ("arguments", "jars", "py_files", "files")}
    found = [("application", work.application), ("main_class", work.main_class or "")]
    found += [(f"{name}.{index}", text) for name, texts in lists.items() for index, text in enumerate(texts)]
    for name, pairs in (("conf", work.conf), ("environment", work.environment)):
        found += [(f"{name}.{key}", text) for key, value in pairs.items() for text in (key, value)]
    return found
