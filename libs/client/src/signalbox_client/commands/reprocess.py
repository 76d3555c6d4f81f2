"""`signalbox reprocess`: files of events, sent again."""

import time
from typing import Annotated, Any, Final

import typer

from signalbox_client import inputs
from signalbox_client.api import place
from signalbox_client.command import command, group
from signalbox_client.exit_codes import EndedBadly, TookTooLong
from signalbox_client.inputs import Everything, Form, Limit, Timeout, Wait, Waiting, Yes, api, finite
from signalbox_client.output import Column, ago, echo, one, plain, rows, state, took
from signalbox_client.reconnect import Reconnect, patient

reprocess = group("Files of events that are sent again.")
JOBS: Final = "/api/admin/reprocessing/jobs"
ENDS: Final = frozenset({"completed", "failed", "cancelled"})
REST_SECONDS: Final = 1.0
Why = Annotated[str, typer.Option("--reason", help="the reason; kept with the job")]
Many = list[str] | None


def _files(found: Any) -> str:
    return f"{found['processed_files']}/{found['total_files']}"


COLUMNS: tuple[Column, ...] = (
    ("job", "id"), ("status", lambda found: state(found["status"])), ("files", _files),
    ("lines", "total_lines"), ("sent", "success_count"), ("skipped", "skipped_count"), ("failed", "error_count"),
    ("age", lambda found: ago(found["created_at"])), ("error", "error"),
)  # fmt: skip
FIELDS: tuple[Column, ...] = (
    ("job", "id"), ("status", "status"), ("files", _files), ("failed files", "failed_files"),
    ("workers", "total_workers"), ("lines read", "total_lines"), ("sent", "success_count"),
    ("skipped", "skipped_count"), ("failed", "error_count"), ("balanced", "balanced"),
    ("bytes", lambda found: f"{found['processed_bytes']}/{found['total_bytes']}"),
    ("error", "error"), ("failures", "failures"), ("bad lines", "bad_lines"), ("asked", "config"),
    ("engine", "engine"), ("by", "actor"), ("reason", "reason"), ("retry of", "retry_of"), ("created", "created_at"),
    ("started", "started_at"), ("ended", "completed_at"),
    ("took", lambda found: took(found["started_at"], found["completed_at"])),
)  # fmt: skip
WORKERS: tuple[Column, ...] = (
    ("worker", "worker_index"), ("status", lambda found: state(found["status"])),
    ("files", lambda found: f"{found['processed_files']}/{found['assigned_files']}"), ("lines", "total_lines"),
    ("sent", "success_count"), ("skipped", "skipped_count"), ("failed", "error_count"), ("file", "current_file"),
    ("line", "current_line"), ("error", "error"),
)  # fmt: skip
BAD_LINES: tuple[Column, ...] = (
    ("file", "path"), ("line", "line"), ("byte", "byte"), ("reason", "reason"), ("begins", "sample"),
)  # fmt: skip


@command(reprocess, "start")
def reprocess_start(
    s3_path: Annotated[str, typer.Option(help="s3://bucket/prefix/")] = "",
    local_path: Annotated[str, typer.Option(help="a folder on the reprocessor's host")] = "",
    stream_id: Annotated[Many, typer.Option(help="only events of these streams; repeatable")] = None,
    connection_id: Annotated[Many, typer.Option(help="destinations; repeatable")] = None,
    file: Annotated[Many, typer.Option(help="only these files, by path or name; repeatable")] = None,
    date_from: Annotated[str, typer.Option(help="RFC 3339, included")] = "",
    date_to: Annotated[str, typer.Option(help="RFC 3339, included")] = "",
    start_file: Annotated[str, typer.Option(help="first file")] = "",
    start_line: Annotated[int | None, typer.Option(min=0, help="first line of the first file")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="send this number of events, with one worker")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read and count, send nothing")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="maximum number of events that a crash repeats")] = None,
    retry_attempts: Annotated[int | None, typer.Option(min=0, help="attempts to read a file")] = None,
    distribution: Annotated[str, typer.Option(help="modulo | balanced")] = "modulo",
    rate: Annotated[float | None, typer.Option(callback=finite, help="events a second, of the whole job")] = None,
    engine: Annotated[str, typer.Option(help="the process engine that runs the workers")] = "",
    reason: Why = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Send event files again; prints the job, or with --wait its result."""
    given: dict[str, Any] = {
        "s3_path": s3_path, "local_path": local_path, "stream_ids": stream_id, "connection_ids": connection_id,
        "files": file, "date_from": date_from, "date_to": date_to, "start_file": start_file,
        "start_line": start_line, "limit": limit, "dry_run": dry_run or None, "batch_size": batch_size,
        "retry_attempts": retry_attempts, "distribution": distribution, "max_events_per_second": rate,
        "engine": engine, "reason": reason,
    }  # fmt: skip
    body = {name: value for name, value in given.items() if value is not None and value not in ("", [])}
    waiting = Waiting(wait, timeout)
    _show(waiting.api().post(JOBS, body), output, waiting)


@command(reprocess, "list")
def reprocess_list(
    status: Annotated[Many, typer.Option(help="only these; repeatable")] = None,
    q: str = "",
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List jobs, newest first."""
    found = api().pages(JOBS, {"status": status, "q": q}, limit=inputs.row_limit(limit, all))
    rows(found, output, COLUMNS, empty="no jobs: `signalbox reprocess start` makes one")


@command(reprocess, "show")
def reprocess_show(id: str, output: Form = "table") -> None:
    """Show a job with the counts of all its workers."""
    one(api().get(JOBS + place(id)), output, FIELDS)


@command(reprocess, "workers")
def reprocess_workers(id: str, output: Form = "table") -> None:
    """Show the progress of each worker of a job."""
    rows(api().get(JOBS + place(id, "workers"))["workers"], output, WORKERS, empty="its files are not listed yet")


@command(reprocess, "samples")
def reprocess_samples(id: str, output: Form = "table") -> None:
    """Show the first lines that could not be sent, with their beginning."""
    found = api().get(JOBS + place(id, "bad-lines"))["bad_lines"]
    rows(found, output, BAD_LINES, empty="every line that was read could be sent or was skipped")


@command(reprocess, "logs")
def reprocess_logs(
    id: str,
    tail: Annotated[int, typer.Option(min=0, max=1000, help="number of last lines of each worker")] = 50,
    since: Annotated[
        float | None, typer.Option(min=0.1, max=864_000, callback=finite, help="only the last N seconds")
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="lines of all workers, ordered by time")] = False,
    output: Form = "table",
) -> None:
    """Show the last lines of a job's workers, each with its worker."""
    query = {"tail": tail, "since": None if since is None else f"{since:g}", "sort": "true" if sort else None}
    found = api().get(JOBS + place(id, "logs"), {key: value for key, value in query.items() if value is not None})
    if output != "table":
        one(found, output, ())
    elif sort:
        for line in found["lines"]:
            print(plain(f"[W{line['worker_index']}] {line['timestamp']} {line['message']}"))
    else:
        for worker in found["logs"]:
            for line in worker["lines"] or [worker["error"] or "nothing was written"]:
                print(plain(f"[W{worker['worker_index']}] {line}"))


@command(reprocess, "cancel")
def reprocess_cancel(
    id: str, reason: Why = "", yes: Yes = False, wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Stop the workers of a job. Events that were sent are not taken back."""
    inputs.sure(f"Cancel reprocessing job {id}?", yes)
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(JOBS + place(id, "cancel"), {"reason": reason})
    job = _ended(answer["job"], waiting.seconds) if wait else answer["job"]
    one(job, output, FIELDS)


@command(reprocess, "retry")
def reprocess_retry(
    id: str, reason: Why = "", wait: Wait = False, timeout: Timeout = None, output: Form = "table"
) -> None:
    """Read the failed files of a job again, from where each failed, as a new job."""
    waiting = Waiting(wait, timeout)
    _show(waiting.api().post(JOBS + place(id, "retry"), {"reason": reason}), output, waiting)


def _show(job: dict[str, Any], output: str, waiting: Waiting) -> None:
    if not waiting.wait:
        one(job, output, FIELDS)
        return
    job = _ended(job, waiting.seconds)
    one(job, output, FIELDS)
    if job["status"] != "completed":
        raise EndedBadly(f"job {job['id']} is {job['status']}: {plain(job['error'] or '')}")


def _ended(job: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """The job once it has ended. Raises `TookTooLong`."""
    give_up_at = None if timeout is None else time.monotonic() + timeout
    waiting, last = patient(api(), Reconnect(give_up_at)), ""
    while job["status"] not in ENDS:
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise TookTooLong(f"job {job['id']} still runs: signalbox reprocess show {job['id']}")
        time.sleep(REST_SECONDS)
        job = waiting.get(JOBS + place(job["id"]))
        line = f"{job['status']}: {_files(job)} files, {job['total_lines']} lines, {job['success_count']} sent"
        if line != last:
            echo(line)
        last = line
    return job
