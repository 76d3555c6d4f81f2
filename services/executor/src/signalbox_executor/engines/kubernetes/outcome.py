"""How an ended Job is reported: exit code, result, and a sentence that names what failed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.vocabulary import RESULT_BYTES
from signalbox_executor.engines.kubernetes.job import Job, cause, parse_indexes
from signalbox_executor.engines.kubernetes.pods import MAX_MESSAGE_BYTES, Pod, newest_by_completion
from signalbox_executor.engines.result import read_result

MAX_NAMED_INDEXES: Final = 20
MAX_TERMINATION_TEXT: Final = 500
_ORDINARY: Final = frozenset({"", "Error", "Completed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An end, as the port wants it."""

    phase: Phase
    cause: EndCause
    exit_code: int | None
    result: JsonValue
    message: str


def outcome(job: Job, pods: Iterable[Pod], waited_for: str = "") -> Outcome:
    """`waited_for` is what its pods were last seen to wait for."""
    decided = newest_by_completion(pods)
    why = cause(job)
    assert why is not None, "only an ended Job has an outcome"
    if job.phase is Phase.SUCCEEDED:
        return _success(job, decided)
    code = _exit_code(job, decided)
    if job.phase is Phase.KILLED:
        return Outcome(phase=job.phase, cause=why, exit_code=code, result=None, message="cancelled")
    message = _failure(job, decided, waited_for)
    return Outcome(phase=job.phase, cause=why, exit_code=code, result=None, message=message)


def _success(job: Job, decided: dict[int, Pod]) -> Outcome:
    try:
        result = _results(job, decided)
    except ValueError as error:
        return Outcome(phase=Phase.FAILED, cause=EndCause.FAILED, exit_code=0, result=None, message=str(error))
    return Outcome(phase=job.phase, cause=EndCause.COMPLETED, exit_code=0, result=result, message="")


def _results(job: Job, decided: dict[int, Pod]) -> JsonValue:
    """The result of the one pod; of an Indexed Job an object by index, of those that left one."""
    if not job.indexed:
        pod = decided.get(0)
        return _result(pod.result) if pod and pod.result else None
    results: dict[str, JsonValue] = {}
    for completion, pod in sorted(decided.items()):
        if pod.result:
            try:
                results[str(job.index(completion))] = _result(pod.result)
            except ValueError as error:
                raise ValueError(f"index {job.index(completion)}: {error}") from None
    size = len(to_json(results))
    if size > RESULT_BYTES:
        raise ValueError(f"the results of all indexes take {size} bytes as JSON: at most {RESULT_BYTES} are allowed")
    return results or None


def _result(text: str) -> JsonValue:
    """A message that fills its place was cut: the kubelet keeps its end."""
    data = text.encode()
    if len(data) >= MAX_MESSAGE_BYTES:
        raise ValueError(f"the result has at least {len(data)} bytes: Kubernetes keeps fewer than {MAX_MESSAGE_BYTES}")
    return read_result(data)


def _exit_code(job: Job, decided: dict[int, Pod]) -> int | None:
    """Of the first index that failed; of a Job that is not indexed, of its last pod."""
    failed = list(parse_indexes(job.failed_indexes)) if job.indexed else [0]
    codes = (decided[index].exit_code for index in failed if index in decided)
    return next((code for code in codes if code is not None), None)


def _failure(job: Job, decided: dict[int, Pod], waited_for: str) -> str:
    parts = [f"{job.reason}: {job.message}" if job.message else job.reason]
    if job.indexed:
        failed = list(parse_indexes(job.failed_indexes))
        if failed:
            names = [_failed_index(job, index, decided.get(index)) for index in failed[:MAX_NAMED_INDEXES]]
            more = ", …" if len(failed) > MAX_NAMED_INDEXES else ""
            parts.insert(0, f"{len(failed)} of {job.completions} indexes failed: {', '.join(names)}{more}")
    elif pod := decided.get(0):
        parts.insert(0, describe_end(pod))
    if waited_for:
        parts.append(f"it waited for: {waited_for}")
    return "; ".join(part for part in parts if part)


def _failed_index(job: Job, completion: int, pod: Pod | None) -> str:
    described = describe_end(pod) if pod else ""
    return f"{job.index(completion)}{f' ({described})' if described else ''}"


def describe_end(pod: Pod) -> str:
    """Exit code, reason and the termination message of a pod that failed."""
    parts = [f"exit code {pod.exit_code}"] if pod.exit_code is not None else []
    if pod.reason not in _ORDINARY:
        parts.append(f"{pod.reason}: {pod.message}" if pod.message else pod.reason)
    if pod.result:
        text = pod.result.strip()
        parts.append(text if len(text) <= MAX_TERMINATION_TEXT else f"{text[:MAX_TERMINATION_TEXT]}…")
    return ", ".join(parts)
