"""How far an application is, in one line. Pure."""

from signalbox_chassis.start_fence import RunProgress
from signalbox_executor.engines.capabilities import Progress


def summarize(report: RunProgress, waits: str = "") -> Progress:
    """What a person wants to know of an application that runs; `waits` says why it has no executors."""
    parts = [waits] if waits else []
    parts.append(f"{report.stages_done} stages done, {report.stages_active} active")
    if report.tasks_total:
        parts.append(f"{report.tasks_done:,} of {report.tasks_total:,} tasks")
    if report.jobs_failed:
        parts.append(f"{report.jobs_failed} jobs failed: {report.last_error}")
    if report.application:
        parts.append(report.application)
    # how many stages follow is not known: a fraction would fall whenever a job begins
    return Progress(message="; ".join(parts)[:2000])
