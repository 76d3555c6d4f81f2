"""How drivers end: the phase, the cause and the reason, from what master, worker and launcher say. Pure."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field, JsonValue

from signalbox_chassis.start_fence import RunEnd, RunProgress, Started
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.vocabulary import Instant, Value
from signalbox_executor.engines.port import bounded
from signalbox_executor.engines.result import read_result

LIVE: Final[Mapping[str, Phase]] = {
    "SUBMITTED": Phase.SUBMITTED,
    "RUNNING": Phase.RUNNING,
    "RELAUNCHING": Phase.RUNNING,
}
"""States of a driver that has not ended. UNKNOWN stands for a master that recovers: it says nothing of the driver."""
ENDED: Final = frozenset({"FINISHED", "FAILED", "KILLED", "ERROR"})
_SIGNALBOX: Final = re.compile(r"^signalbox: (.+)$", re.MULTILINE)
_EXITED: Final = "System.exit was called"
"""How the launcher's line about it begins. The application may have written why, before."""
_CAUSE: Final = re.compile(
    r"^(?:Caused by: |Exception in thread \S+ )?((?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*(?:Exception|Error)(?:: [^\n]*)?)$",
    re.MULTILINE,
)
MAX_REASON: Final = 800
EXIT_GRACE: Final = timedelta(seconds=60)
"""How long a JVM that got SIGTERM may take: its hooks have 30 s (Hadoop's `ShutdownHookManager`)."""
_RULE: Final = "\n========================================\n"


class Outcome(Value):
    """The end of a run as it was first seen. It is kept, whatever the master forgets."""

    phase: Phase
    cause: EndCause
    message: Annotated[str, Field(max_length=2000)] = ""
    result: JsonValue = None
    handle: Annotated[str, Field(max_length=1024)]
    started_at: Instant | None = None
    ended_at: Instant
    handle_url: Annotated[str, Field(max_length=2048)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a driver that ended, or that the master forgot (`state` is empty)."""

    state: str
    fenced: bool
    message: str = ""
    """The master's own, such as a stack trace of the worker that could not start it."""
    error_output: str = ""
    """The end of what it wrote to `stderr`."""
    start_url: str | None = None
    """Where its launcher is fetched and its start is claimed."""
    started: Started | None = None
    end: RunEnd | None = None
    progress: RunProgress | None = None
    stopped: bool = False
    allow_failed_jobs: bool = False
    now: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run."""

    phase: Phase
    cause: EndCause | None
    message: str = ""
    result: JsonValue = None


def may_still_run(facts: Facts) -> bool:
    """Whether the driver may be alive although nobody watches it: its worker was lost, or the master forgot it."""
    return facts.state not in ENDED or (facts.state == "ERROR" and not facts.message)


def judge(facts: Facts) -> Verdict:
    """The end of a run; LOST where the driver may run on unseen and did not report its end."""
    began = facts.started is not None and bool(facts.started.nonce)
    if facts.state == "KILLED":
        return _killed(facts)
    if facts.fenced and not began:
        return _not_begun(facts)
    if may_still_run(facts):
        return _unseen(facts)
    if facts.state == "FINISHED":
        return _finished(facts)
    reason = (facts.end.error if facts.end else "") or _reason(facts)
    return Verdict(Phase.FAILED, EndCause.FAILED, bounded(reason))


def _killed(facts: Facts) -> Verdict:
    if facts.stopped:
        return Verdict(Phase.KILLED, EndCause.CANCELLED)
    return Verdict(Phase.KILLED, EndCause.KILLED, "killed by somebody on the cluster")


def _not_begun(facts: Facts) -> Verdict:
    """The launcher never got to the application, and cannot any more."""
    reason = _reason(facts)
    if facts.start_url and _broke(facts):
        reason = f"its launcher, which is fetched from {facts.start_url}, did not begin: {reason}"
    return Verdict(Phase.FAILED, EndCause.INFRASTRUCTURE, bounded(f"nothing of it ran: {reason}"))


def _broke(facts: Facts) -> bool:
    """Whether Spark says what went wrong, and the launcher nothing."""
    return bool(facts.message or facts.error_output.strip()) and not _SIGNALBOX.search(facts.error_output)


def _unseen(facts: Facts) -> Verdict:
    if facts.end is not None and facts.end.exit_code == 0:
        return _finished(facts)
    if facts.end is not None and (facts.end.exit_code is not None or facts.end.error):
        return Verdict(Phase.FAILED, EndCause.FAILED, bounded(facts.end.error or f"exit code {facts.end.exit_code}"))
    if facts.end is not None and facts.end.at is not None and facts.now - facts.end.at >= EXIT_GRACE:
        reason = "the driver was told to end before its application returned: its worker was lost, or it was killed"
        return Verdict(Phase.FAILED, EndCause.INFRASTRUCTURE, reason)
    if facts.state == "ERROR":
        reason = "its worker was lost; a worker that was killed leaves its driver running"
    else:
        reason = (
            "the master does not know the driver: it restarted without recovery, or the driver ended and others pushed "
            "it out (spark.deploy.retainedDrivers)"
        )
    return Verdict(Phase.LOST, None, reason)


def _finished(facts: Facts) -> Verdict:
    progress = facts.progress
    if progress is not None and progress.last_job_failed and not facts.allow_failed_jobs:
        reason = f"the driver ended with 0 although the last job of its application failed: {progress.last_error}"
        return Verdict(Phase.FAILED, EndCause.FAILED, bounded(reason))
    if facts.end is None or facts.end.result is None:
        return Verdict(Phase.SUCCEEDED, EndCause.COMPLETED)
    try:
        data = base64.b64decode(facts.end.result, validate=True)
        result = read_result(data, max(facts.end.result_bytes, len(data)))
    except (ValueError, binascii.Error) as error:
        return Verdict(Phase.FAILED, EndCause.FAILED, bounded(str(error)))
    return Verdict(Phase.SUCCEEDED, EndCause.COMPLETED, result=result)


def _reason(facts: Facts) -> str:
    """Why a driver ended, in one line."""
    if facts.message:
        return root_cause(facts.message)
    found = _SIGNALBOX.findall(facts.error_output)
    if found:
        causes = _CAUSE.findall(facts.error_output) if found[-1].startswith(_EXITED) else []
        return "; the last error before: ".join([found[-1], *causes[-1:]])[:MAX_REASON]
    if facts.error_output.strip():
        return root_cause(facts.error_output)
    if facts.state in ("", "ERROR"):
        return "its worker was lost" if facts.state else "the master does not know the driver"
    return "the driver failed; its worker shows no output of it"


def without_command(text: str) -> str:
    """What a driver wrote, without the command that its worker put in front."""
    _, rule, rest = text.partition(_RULE) if text.startswith("Launch Command:") else ("", "", text)
    return rest if rule or not text.startswith("Launch Command:") else ""


def root_cause(text: str) -> str:
    """The last cause that a stack trace names, or its last line."""
    causes = [cause.strip() for cause in _CAUSE.findall(text)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (causes or lines or ["no reason given"])[-1][:MAX_REASON]
