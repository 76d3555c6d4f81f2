"""The definitions, ids and instants that samples speak of."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from signalbox_contracts import ids
from signalbox_contracts.definitions import (
    Channel,
    Engine,
    Freeze,
    Job,
    Move,
    Pipeline,
    Schedule,
    Subscription,
    Trigger,
    read,
)

NOW = datetime(2026, 3, 29, 0, 0, 7, 250_000, tzinfo=UTC)
LATER = datetime(2026, 3, 29, 0, 4, 30, tzinfo=UTC)
DUE = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
EVENT_DATE = date(2026, 3, 28)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PLAN = UUID("0195e1a0-7c00-7000-8000-000000000001")
CHILD = UUID("0195e1a0-7c00-7000-8000-000000000002")
OPERATION = UUID("0195e1a0-7c00-7000-8000-0000000000aa")
TASK = ids.task_id(PLAN, "load")
TICK = ids.tick_id("nightly", DUE)
INCIDENT = UUID("0195e1a0-7c00-7000-8000-0000000000bb")
PARKED = ids.dead_letter_id("planner", "signalbox.requests.v1", 3, 1042, 1_774_742_407_250)
DELIVERY = ids.delivery_id("on-call", "failures", "e-1")
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_RETRIES = {"max_attempts": 3, "retry_on": ["failed", "lost"], "retry_on_exit_codes": [1, 75], "delay_seconds": 2}
_LIMITS = {"queued_seconds": 3600, "submitting_seconds": 120, "running_seconds": 7200, "cancelling_seconds": 300}


def engines() -> tuple[Engine, ...]:
    """One engine of every kind."""
    basic = {"method": "basic", "username": "signalbox", "password": "secret://airflow-password"}
    connections: dict[str, dict[str, Any]] = {
        "oozie-prod": {"kind": "oozie", "url": "http://oozie.example:11000/oozie", "access": {"method": "kerberos"}},
        "flink-main": {"kind": "flink", "url": "http://flink-jobmanager:8081"},
        "spark-main": {"kind": "spark", "url": "http://spark:6066", "master_url": "spark://spark:7077"},
        "k8s-batch": {"kind": "kubernetes", "namespace": "batch", "node_selector": {"disktype": "ssd"}},
        "airflow-etl": {"kind": "airflow", "url": "http://airflow.example:8080", "access": basic},
        "local": {"kind": "process", "host_id": "host-1"},
        "play": {"kind": "scripted", "url": "http://127.0.0.1:9900"},
        "checks": {"kind": "check"},
    }
    return tuple(
        read(Engine, {"id": id, "name": id, "connection": connection, "limits": {"concurrency": 4}, "group": "main"})
        for id, connection in connections.items()
    )


def works() -> tuple[dict[str, Any], ...]:
    """One piece of work of every kind, and an Oozie rerun."""
    return (
        {"kind": "process", "argv": ["python", "load.py", "--day", "{{ event_date }}"], "environment": {"MODE": "x"}},
        {"kind": "flink", "jar_url": "http://data-processor:8080/data-processor.jar", "config": {"source": "socket"}},
        {
            "kind": "spark",
            "application": "hdfs:///jobs/rank.py",
            "arguments": ["{{ params.day }}"],
            "conf": {"spark.cores.max": "4"},
        },
        {
            "kind": "kubernetes",
            "image": "worker:1",
            "completions": 5,
            "tolerations": [{"key": "arch", "value": "arm64"}],
        },
        {"kind": "oozie", "application_path": "hdfs:///apps/daily", "properties": {"day": "{{ event_date }}"}},
        {"kind": "oozie", "mode": "rerun", "target": "0000123-C@17", "skip_nodes": ["a"], "expected": {"run": 2}},
        {"kind": "airflow", "dag_id": "simple_workflow_example", "conf": {"processing_time": 30}},
        {"kind": "scripted", "script": {"phases": [{"phase": "running", "seconds": 0.1}, {"phase": "succeeded"}]}},
        {"kind": "check", "check": {"type": "postgres", "host": "postgres.example"}, "wait_seconds": 60},
    )


def job(number: int = 0) -> Job:
    """A job with the work of that number."""
    return read(
        Job,
        {
            "id": f"job-{number}",
            "name": "data-processor-job",
            "description": "Reads, counts, writes",
            "labels": {"team": "data"},
            "version": 3,
            "work": works()[number],
            "params": {"day": {"type": "date", "default": "2026-03-28"}, "mode": {"choices": ["full", "delta"]}},
            "retries": _RETRIES,
            "time_limits": _LIMITS,
        },
    )


def pipeline() -> Pipeline:
    """Three steps, a matrix, a branch for failure and a compensation."""
    rank = {
        "kind": "spark",
        "application": "rank.py",
        "arguments": ["{{ steps.load.result.rows }}", "{{ params.part }}"],
    }
    return read(
        Pipeline,
        {
            "id": "daily",
            "name": "Daily recommendations",
            "version": 2,
            "params": {"mode": {"choices": ["initial_load", "incremental"], "default": "incremental"}},
            "steps": [
                {"id": "load", "engine": "local", "work": {"kind": "process", "argv": ["load", "{{ params.mode }}"]}},
                {"id": "rank", "work": rank, "depends_on": ["load"], "matrix": {"part": ["a", "b"]}, "concurrency": 1},
                {"id": "serve", "work": {"kind": "process", "argv": ["serve"]}, "depends_on": ["rank"]},
                {
                    "id": "tell",
                    "work": {"kind": "process", "argv": ["tell", "{{ run.id }}"]},
                    "depends_on": [{"step": "rank", "when": "on_failure"}],
                    "required": False,
                },
                {"id": "undo", "work": {"kind": "process", "argv": ["undo"]}, "compensates": "load"},
            ],
            "rules": {"limit": 2, "starts_per_minute": 60, "brake": {"failure_ratio": 0.5}},
        },
    )


def schedule() -> Schedule:
    """Every night in Prague."""
    return read(
        Schedule,
        {
            "id": "nightly",
            "name": "Nightly",
            "target": {"kind": "pipeline", "id": "daily"},
            "cron": "0 30 2 * * *",
            "zone": "Europe/Prague",
            "params": {"mode": "incremental"},
            "missed": {"policy": "all", "max": 3, "grace_seconds": 120},
            "overlap": "queue",
        },
    )


def trigger() -> Trigger:
    """New files start the pipeline."""
    return read(
        Trigger,
        {
            "id": "new-files",
            "name": "New files",
            "match": {"types": ["com.example.file.*"], "subjects": ["/in/*"], "condition": "data.size > 0"},
            "target": {"kind": "pipeline", "id": "daily", "version": 2},
            "mapping": {"mode": "/data/mode"},
            "debounce_seconds": 5,
            "debounce_by": "/subject",
        },
    )


def channels() -> tuple[Channel, ...]:
    """One channel of every kind."""
    destinations: tuple[dict[str, Any], ...] = (
        {"kind": "slack", "token": "secret://slack-token", "channel": "#data"},
        {"kind": "webhook", "url": "https://hooks.example/in", "signing_key": "secret://hook-key"},
        {"kind": "email", "to": ["ann@example.org"]},
        {"kind": "websocket", "user": "ann"},
    )
    return tuple(
        read(Channel, {"id": f"to-{to['kind']}", "name": str(to["kind"]), "destination": to}) for to in destinations
    )


def subscription() -> Subscription:
    """Failures go to the person on call."""
    return read(
        Subscription,
        {
            "id": "failures",
            "name": "Failures",
            "channel": "to-slack",
            "events": ["signalbox.plan.*"],
            "at_least": "error",
            "deadline": {"end_by": "06:00", "zone": "Europe/Prague"},
        },
    )


def freeze() -> Freeze:
    """No new work while the month closes."""
    return read(
        Freeze,
        {
            "id": "month-end",
            "name": "Month end",
            "engines": ["oozie-prod"],
            "mode": "drain",
            "reason": "books close",
            "author": "user:ann",
            "ends_at": "2026-04-01T06:00:00Z",
            "calendar": [{"cron": "0 18 28 * *", "zone": "Europe/Prague", "duration_seconds": 43_200}],
        },
    )


def move() -> Move:
    """A coordinator that lives in Airflow since the first of April."""
    return read(
        Move,
        {
            "id": "daily-load",
            "name": "Daily load",
            "engine": "oozie-prod",
            "coordinator": "daily-load",
            "airflow_engine": "airflow-etl",
            "dag_id": "daily_load",
            "moved_at": "2026-04-01T00:00:00Z",
            "logical_date": {"offset_days": -1},
            "conf": {"mode": "full"},
            "nominal_time_key": "day",
        },
    )
