"""How far a run is: records and bytes, checkpoints and back pressure, in one line. Pure."""

from typing import Final

from signalbox_contracts.messages.tasks import WorkerProgress
from signalbox_executor.engines.capabilities import Progress
from signalbox_executor.engines.flink.answers import CheckpointCounts, Checkpoints, JobProgress, VertexProgress

BUSY_SHARE: Final = 0.5


def summarize(job: JobProgress, checkpoints: Checkpoints) -> Progress:
    """What a person wants to know of a job that runs."""
    if not job.vertices:
        return Progress()
    records_in = job.vertices[0].metrics.write_records or job.vertices[0].metrics.read_records
    records_out = job.vertices[-1].metrics.read_records
    parts = [f"{records_in:,} records in, {records_out:,} out"]
    if (counts := checkpoints.counts) != CheckpointCounts():
        failed = f", {counts.failed} failed" if counts.failed else ""
        parts.append(f"{counts.completed} checkpoints{failed}")
    slow = [vertex.name for vertex in job.vertices if _back_pressure(vertex) >= BUSY_SHARE]
    if slow:
        parts.append(f"back pressure in {slow[0][:100]}")
    worker = WorkerProgress(lines_read=records_in, sent=records_out)
    return Progress(message="; ".join(parts)[:2000], workers=(worker,))


def _back_pressure(vertex: VertexProgress) -> float:
    """The share of its time that an operator waited for the next one."""
    spent = vertex.duration * max(vertex.parallelism, 1)
    return vertex.metrics.backpressured_millis / spent if spent > 0 else 0.0
