"""Samples of facts: plans, tasks, states, deliveries, parked messages."""

from collections.abc import Iterator
from typing import Any

from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import run_key, selection_id
from signalbox_contracts.messages import dead_letters, deliveries, plans, reprocessing, states, tasks
from signalbox_contracts.samples import definitions
from signalbox_contracts.samples.definitions import DUE, EVENT_DATE, HASH, LATER, NOW, OPERATION, PLAN, TASK, TRACE

Cases = Iterator[tuple[str, Event[Any]]]

_WAITING = {"why": "engine_limit", "holder": "engine:oozie-prod", "since_at": NOW, "detail": "4 of 4 slots in use"}


def events() -> Cases:
    """All of them."""
    yield from _plans()
    yield from _tasks()
    yield from _states()
    yield from _notices()


def _plan(state: str, version: int, **more: Any) -> plans.PlanStated:
    record = plans.PlanRecord.model_validate(
        {
            "plan_id": PLAN,
            "version": version,
            "state": state,
            "name": "Daily recommendations",
            "origin": "schedule",
            "actor": "schedule:nightly",
            "target": "pipeline:daily",
            "target_version": 2,
            "labels": {"team": "data"},
            "event_date": EVENT_DATE,
            "rules": {"limit": 4},
            "rules_version": 2,
            "rules_confirmed": 2,
            "created_at": NOW,
            "started_at": NOW,
            "answered": [str(OPERATION)],
            "transitions": [{"version": version, "state": state, "at": NOW, "actor": "user:ann", "reason": "asked"}],
            **more,
        }
    )
    return plans.PlanStated.of(
        record,
        subject=PLAN,
        source="signalbox/planner",
        time=NOW,
        aggregateversion=version,
        correlationid=str(OPERATION),
        traceparent=TRACE,
        project="default",
    )


def _plans() -> Cases:
    running: dict[str, Any] = {
        "total": 7,
        "waiting": 2,
        "active": 1,
        "unknown": 1,
        "succeeded": 1,
        "failed": 1,
        "skipped": 1,
    }
    ended: dict[str, Any] = {"total": 7, "succeeded": 4, "failed": 1, "skipped": 1, "cancelled": 1}
    step: dict[str, Any] = {"id": "load", "counts": {"total": 1, "succeeded": 1}, "started_at": NOW, "ended_at": LATER}
    preview: dict[str, Any] = {"preview_hash": HASH, "preview_expires_at": LATER, "counts": {"total": 1, "waiting": 1}}
    expected: dict[str, Any] = {"items": 7, "tasks": 6, "item_pages": 1, "task_versions": 31}
    yield "", _plan("RUNNING", 5, counts=running, waiting=[_WAITING], steps=[step])
    yield "previewed", _plan("PREVIEWED", 2, **preview)
    yield "ended", _plan("COMPLETED_WITH_ERRORS", 9, counts=ended, ended_at=LATER, expected=expected)
    refused: dict[str, Any] = {
        "reason": "the world moved",
        "difference": {"changed": ["0000123-C@17"]},
        "ended_at": LATER,
    }
    yield "refused", _plan("REFUSED", 3, expected={**expected, "tasks": 0, "task_versions": 0}, **refused)
    run: dict[str, Any] = {
        "key": "load",
        "position": 0,
        "decision": "run",
        "step": "load",
        "engine": "local",
        "task_id": TASK,
    }
    skip: dict[str, Any] = {
        "key": "0000123-C@17",
        "position": 1,
        "decision": "skip",
        "reason": "owned",
        "owner_plan": PLAN,
    }
    more: dict[str, Any] = {
        "state": "QUEUED",
        "depends_on": ["prepare"],
        "expected": {"run": 2},
        "deletes": ["/out/2026-03-28"],
    }
    page = plans.PlanItemsData.model_validate(
        {"plan_id": PLAN, "round": 1, "version": 2, "page": 1, "pages": 1, "items": [{**run, **more}, skip]}
    )
    about: dict[str, Any] = {"subject": PLAN, "source": "signalbox/planner", "time": NOW}
    yield "", plans.PlanItems.of(page, aggregateversion=2, **about)


def _tasks() -> Cases:
    task: dict[str, Any] = {
        "task_id": TASK,
        "item_key": "load",
        "version": 7,
        "state": "SUCCEEDED",
        "engine": "local",
        "step": "load",
        "attempt": 2,
        "max_attempts": 3,
        "infrastructure_faults": 1,
        "run_key": run_key(TASK, 2),
        "handle": "host-1/4711",
        "handle_url": "http://local/4711",
        "phase": "succeeded",
        "exit_code": 0,
        "cause": "completed",
        "queued_at": NOW,
        "submitted_at": NOW,
        "started_at": NOW,
        "ended_at": LATER,
        "observed_at": LATER,
        "result": {"rows": 1200, "parts": ["a", None]},
        "transitions": [
            {"version": 6, "state": "RUNNING", "attempt": 2, "at": NOW},
            {"version": 7, "state": "SUCCEEDED", "attempt": 2, "at": LATER, "reason": "exit code 0"},
        ],
    }
    waiting: dict[str, Any] = {
        "item_key": "rank",
        "version": 1,
        "state": "QUEUED",
        "engine": "oozie-prod",
        "queued_at": NOW,
    }
    held: dict[str, Any] = {
        **waiting,
        "task_id": PLAN,
        "waiting": _WAITING,
        "not_before_at": LATER,
        "error": "lost once",
    }
    about: dict[str, Any] = {"subject": PLAN, "source": "signalbox/executor", "time": LATER, "traceparent": TRACE}
    stated = tasks.TasksStatedData.model_validate(
        {"plan_id": PLAN, "rules_version": 2, "tasks": [task, held], "missing": [OPERATION]}
    )
    yield "", tasks.TasksStated.of(stated, aggregateversion=2, **about)
    found: dict[str, Any] = {
        "key": "0000123-C@17",
        "target": "0000123-C@17",
        "phase": "killed",
        "engine_state": "KILLED",
        "run": 1,
    }
    details: dict[str, Any] = {
        "nominal_at": DUE,
        "last_modified": "Sun, 29 Mar 2026 00:00:00 GMT",
        "skip_nodes": ["a"],
        "deletes": ["/o"],
    }
    page: dict[str, Any] = {
        "plan_id": PLAN,
        "selection_id": selection_id(PLAN, "0", 1),
        "round": 1,
        "page": 1,
        "pages": 1,
    }
    resolved = tasks.SelectionResolvedData.model_validate({**page, "items": [{**found, **details}]})
    yield "", tasks.SelectionResolved.of(resolved, aggregateversion=1, **about)
    worker: dict[str, Any] = {
        "worker": 1,
        "files_total": 15,
        "files_done": 10,
        "lines_read": 50_000,
        "sent": 49_500,
        "failed": 500,
    }
    place: dict[str, Any] = {
        "current_file": "s3://bucket/file_10.ndjson.gz",
        "current_line": 5000,
        "bytes_done": 10_485_760,
    }
    progress: dict[str, Any] = {
        "plan_id": PLAN,
        "task_id": TASK,
        "attempt": 1,
        "sequence": 12,
        "at": NOW,
        "fraction": 0.66,
    }
    progress_data = tasks.TaskProgressData.model_validate({**progress, "workers": [{**worker, **place}]})
    yield "", tasks.TaskProgress.of(progress_data, aggregateversion=12, **about)


def _states() -> Cases:
    s = states
    engine = s.EngineRecord(
        engine_id="oozie-prod",
        version=12,
        definitions_revision=42,
        breaker=s.BreakerState.OPEN,
        breaker_since_at=NOW,
        failures=5,
        slots=4,
        slots_used=4,
        queued=17,
        server_version="5.2.1",
        last_answer_at=DUE,
        last_error="connection refused",
    )
    schedule = s.ScheduleRecord(
        schedule_id="nightly", version=3, definitions_revision=41, next_due_at=LATER, last_due_at=DUE, fired=1
    )
    match = s.MatchRecord(
        event_id="A234",
        event_source="/stores/eu",
        event_type="com.example.file.created",
        outcome=s.MatchOutcome.NOT_MATCHED,
        why="subject '/out/x' matches none of /in/*",
        at=NOW,
    )
    trigger = s.TriggerRecord(
        trigger_id="new-files", version=4, definitions_revision=40, not_matched=1, events=(match,)
    )
    incident = s.IncidentRecord(
        incident_id=definitions.INCIDENT,
        version=2,
        state=s.IncidentState.ACKNOWLEDGED,
        severity="error",
        title="Daily recommendations failed",
        fingerprint="f00",
        plan_id=PLAN,
        occurrences=3,
        first_at=DUE,
        last_at=NOW,
        acknowledged_by="user:ann",
    )
    result = s.OperationResultData(
        operation_id=OPERATION,
        target="engine:oozie-prod",
        operation="engine.test",
        outcome=s.Outcome.DONE,
        details={"version": "5.2.1"},
        took_seconds=0.2,
    )
    counts = {
        "processed_files": 1, "total_lines": 10, "success_count": 7, "error_count": 1, "skipped_count": 2,
        "total_bytes": 2048, "processed_bytes": 1024, "current_file": "s3://bucket/failover/a.ndjson.gz",
        "current_line": 3, "current_timestamp": "2026-03-28T01:00:00Z",
    }  # fmt: skip
    place = {"path": "s3://bucket/failover/b.ndjson.gz", "line": 7, "byte": 4096}
    job = reprocessing.ReprocessingRecord.model_validate(
        {
            **counts, "job_id": PLAN, "version": 5, "status": "running", "started_at": NOW, "total_files": 12,
            "failed_files": 1, "total_workers": 1, "failures": [{**place, "error": "truncated"}],
            "bad_lines": [{**place, "reason": "not JSON"}],
            "workers": [
                {**counts, "worker_index": 0, "status": "running", "started_at": NOW, "updated_at": NOW,
                 "assigned_files": 12}
            ],
        }
    )  # fmt: skip
    yield "", _state(reprocessing.ReprocessingStated, job, f"reprocessing:{PLAN}", "reprocessor", 5)
    yield "", _state(s.EngineStated, engine, "engine:oozie-prod", "executor", 12)
    yield "", _state(s.ScheduleStated, schedule, "schedule:nightly", "scheduler", 3)
    yield "", _state(s.TriggerStated, trigger, "trigger:new-files", "planner", 4)
    source = s.SourceRecord(
        source="lake", hour_at=NOW, version=9, received=120, unclaimed=3, last_event_at=NOW, lag_seconds=0.2
    )
    yield "", _state(s.SourceStated, source, "source:lake", "planner", 9)
    trouble = s.Trouble(part="reconcile", reason="ConnectionError: no answer")
    service = s.ServiceRecord(service="planner", instance="0192", version=2, troubles=(trouble,), restated=1)
    yield "", _state(s.ServiceStated, service, "service:planner", "planner", 2)
    yield "", _state(s.IncidentStated, incident, f"incident:{definitions.INCIDENT}", "notifier", 2)
    yield "", _state(s.OperationResult, result, "engine:oozie-prod", "executor", 0)


def _state(message: type[Event[Any]], data: Any, subject: str, service: str, version: int) -> Event[Any]:
    return message.of(data, subject=subject, source=f"signalbox/{service}", time=NOW, aggregateversion=version)


def _notices() -> Cases:
    delivery = deliveries.DeliveryRecord(
        delivery_id=definitions.DELIVERY,
        version=2,
        channel_id="on-call",
        subscription_id="failures",
        incident_id=definitions.INCIDENT,
        plan_id=PLAN,
        event_id="e-1",
        event_type="signalbox.plan.state.v1",
        title="Daily recommendations failed",
        state=deliveries.DeliveryState.RETRYING,
        attempts=1,
        tries=(deliveries.Try(number=1, at=NOW, state=deliveries.DeliveryState.RETRYING, answer="503"),),
        next_try_at=LATER,
        created_at=NOW,
    )
    parked = dead_letters.DeadLetterParkedData(
        dead_letter_id=definitions.PARKED,
        service="planner",
        topic="signalbox.requests.v1",
        partition=3,
        offset=1042,
        key=str(PLAN),
        headers=(dead_letters.ParkedHeader(name="ce_id", text="x"), dead_letters.ParkedHeader(name="b", base64="/w==")),
        event_type="signalbox.plan.request.v1",
        error="Invalid JSON: EOF while parsing an object at line 1 column 1",
        value_bytes=1,
        value_start="ew==",
        parked_at=NOW,
    )
    about: dict[str, Any] = {"time": NOW, "aggregateversion": 2}
    yield (
        "",
        deliveries.DeliveryStated.of(delivery, subject=definitions.DELIVERY, source="signalbox/notifier", **about),
    )
    yield (
        "",
        dead_letters.DeadLetterParked.of(parked, subject=definitions.PARKED, source="signalbox/planner", **about),
    )
    settled = dead_letters.DeadLetterStateData(
        dead_letter_id=definitions.PARKED,
        service="planner",
        state=dead_letters.DeadLetterOutcome.REDRIVEN,
        attempts=1,
    )
    yield (
        "",
        dead_letters.DeadLetterState.of(settled, subject=definitions.PARKED, source="signalbox/planner", **about),
    )
