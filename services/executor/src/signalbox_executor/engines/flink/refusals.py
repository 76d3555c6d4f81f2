"""What the answer to a run that was not accepted means. Pure.

Flink answers with texts and stack traces, and with 400 or 500 for anything: the texts are all there is to judge by.
The samples of `tests/unit/executor/flink_answers` were recorded from Flink 1.20.3 and 2.3.0.
"""

import re
from dataclasses import dataclass
from typing import Final

_DUPLICATE: Final = re.compile(r"\bDuplicate(?:Job|Application)SubmissionException\b")
_JAR_MISSING: Final = re.compile(r"Jar file \S+ does not exist")
_NO_CLASS: Final = re.compile(r"entry point class '([^'\n]{0,300})' was not found")
_NO_ENTRY: Final = re.compile(r"Neither a 'Main-Class', nor a 'program-class' entry was found")
_NO_MAIN: Final = re.compile(r"program class does not have a main\(String\[\]\) method")
_NO_JOB: Final = re.compile(r"No jobs included in application")
_CAUSE: Final = re.compile(r"(?:^|\n)\s*(?:Caused by: )?((?:[A-Za-z_$][\w$]*\.)+[A-Za-z_$][\w$]*)(?:: ([^\n]*))?")
_WRAPPERS: Final = (
    "CompletionException", "RestHandlerException", "FlinkRuntimeException", "ProgramInvocationException",
    "InvocationTargetException",
)  # fmt: skip
MAX_REASON: Final = 800


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A run with this job id was accepted before."""


@dataclass(frozen=True, slots=True)
class JarMissing:
    """The JobManager no longer has the JAR: it restarted, or somebody deleted it."""


@dataclass(frozen=True, slots=True)
class WorkRefused:
    """This work can never be run as it stands. `field` is what is wrong with it, if that is clear."""

    reason: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nothing is known: the call is repeated."""

    reason: str


RunAnswer = Duplicate | JarMissing | WorkRefused | Unclear


def judge_run(status: int, text: str) -> RunAnswer:
    """What a run's answer other than 200 means, if no job of that id exists. `text` is all of its errors."""
    if _DUPLICATE.search(text):
        return Duplicate()
    if _JAR_MISSING.search(text):
        return JarMissing()
    if found := _NO_CLASS.search(text):
        return WorkRefused(f"the JAR has no class {found[1]}", "work.entry_class")
    if _NO_ENTRY.search(text):
        return WorkRefused("the JAR names no main class, and the job no entry class", "work.entry_class")
    if _NO_MAIN.search(text):
        return WorkRefused("the entry class has no main method", "work.entry_class")
    if _NO_JOB.search(text):
        return WorkRefused("main ended without starting a job")
    if status == 404:
        return WorkRefused("the cluster takes no JARs: web.submit.enable is false")
    if status in (400, 500) and ("ProgramInvocationException" in text or "Could not execute application" in text):
        return WorkRefused(f"main failed: {root_cause(text)}")
    if 400 <= status < 500 and status not in (408, 425, 429):
        return WorkRefused(root_cause(text))
    return Unclear(f"status {status}: {root_cause(text)}")


def root_cause(text: str) -> str:
    """The last cause of a stack trace that says something, such as `IllegalStateException: no such table`."""
    causes = [(name.rpartition(".")[2], message or "") for name, message in _CAUSE.findall(text)]
    telling = [(name, message) for name, message in causes if name not in _WRAPPERS]
    name, message = (telling or causes or [("", text.strip().partition("\n")[0])])[-1]
    return ": ".join(part for part in (name, message.strip()) if part)[:MAX_REASON] or "no reason given"
