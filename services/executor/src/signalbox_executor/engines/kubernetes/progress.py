"""The states of an Indexed Job's indexes, from the Job alone. Pure."""

from collections.abc import Iterator

from signalbox_contracts.messages.tasks import Phase, WorkerProgress
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_executor.engines.capabilities import Progress
from signalbox_executor.engines.kubernetes.job import Job, parse_indexes


def progress(job: Job) -> Progress:
    """How many indexes ended, and the state of each: failed ones first, as many as one message may carry."""
    completed, failed = set(parse_indexes(job.completed_indexes)), set(parse_indexes(job.failed_indexes))
    done = len(completed) + len(failed) if job.indexed else min(job.succeeded, job.completions)
    return Progress(
        fraction=min(1.0, done / job.completions),
        message=_message(job, len(completed), len(failed)),
        workers=tuple(_workers(job, completed, failed))[:MAX_ITEMS] if job.indexed else (),
    )


def _message(job: Job, completed: int, failed: int) -> str:
    if not job.indexed:
        return ""
    left = job.completions - completed - failed
    return f"{completed} of {job.completions} indexes succeeded, {failed} failed, {left} to go ({job.ready} pods run)"


def _workers(job: Job, completed: set[int], failed: set[int]) -> Iterator[WorkerProgress]:
    rest = [index for index in range(job.completions) if index not in completed and index not in failed]
    other = Phase.KILLED if job.phase is Phase.KILLED else Phase.FAILED if job.ended else Phase.RUNNING
    for indexes, phase in ((sorted(failed), Phase.FAILED), (rest, other), (sorted(completed), Phase.SUCCEEDED)):
        for index in indexes:
            yield WorkerProgress(worker=job.index(index), phase=phase)
