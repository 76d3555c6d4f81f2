"""Samples of commands: requests, operations, ticks, triggers, task commands, definitions."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.definitions.selection import EventFiles, OozieActions, OozieWorkflows, RoutedActions
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import plan_id_from_tick, run_key, selection_id
from signalbox_contracts.messages import definitions, operations, reprocessing, requests, task_commands, ticks, triggers
from signalbox_contracts.samples import definitions as examples
from signalbox_contracts.samples.definitions import (
    CHILD,
    DUE,
    EVENT_DATE,
    HASH,
    LATER,
    NOW,
    OPERATION,
    PLAN,
    TASK,
    TRACE,
)

Cases = Iterator[tuple[str, Event[Any]]]
REPROCESSING = {
    "s3_path": "s3://bucket/failover/", "stream_ids": ["stream1", "stream2"], "date_from": DUE, "date_to": LATER,
    "max_events_per_second": 1000,
}  # fmt: skip


def events() -> Cases:
    """All of them."""
    yield from _requests()
    yield from _plan_commands()
    yield from _operations()
    yield from _ticks()
    yield from _triggers()
    yield from _task_commands()
    yield from _definitions()


def _request(what: dict[str, Any] | None, *, page: int = 1, pages: int = 1, **more: Any) -> requests.PlanRequest:
    data = requests.PlanRequestData.model_validate(
        {
            "plan_id": PLAN,
            "page": page,
            "pages": pages,
            "name": "Daily recommendations",
            "actor": "user:ann",
            "reason": "as every day",
            "definitions_revision": 42,
            "what": what,
            "rules": {"limit": 4, "canary": {"first": 2}},
            "event_date": EVENT_DATE,
            "labels": {"team": "data"},
            **more,
        }
    )
    return requests.PlanRequest.of(
        data,
        subject=PLAN,
        source="signalbox/api-gateway",
        time=NOW,
        aggregateversion=0,
        correlationid=str(OPERATION),
        traceparent=TRACE,
        tracestate="vendor=1",
        project="default",
    )


def _requests() -> Cases:
    job = examples.job(1).model_dump(mode="json")
    pipeline = examples.pipeline().model_dump(mode="json")
    items = [{"key": f"load/{n}", "engine": "local", "work": works} for n, works in enumerate(examples.works())]
    selections = [
        {"engine": "oozie-prod", "selection": OozieWorkflows(name="daily-*", phases=("KILLED",), from_at=DUE)},
        {"engine": "oozie-prod", "selection": OozieActions(coordinators=("0000123-C",), numbers=((1, 9),)), "stage": 1},
        {
            "engine": "k8s-batch",
            "selection": EventFiles(s3_path="s3://bucket/failover/", stream_ids=("s1",)),
            "stage": 2,
        },
    ]
    yield "", _request({"kind": "job", "job": job, "params": {"day": "2026-03-28"}})
    yield (
        "pipeline",
        _request(
            {"kind": "pipeline", "pipeline": pipeline, "rerun": {"plan_id": CHILD, "scope": "from", "steps": ["rank"]}}
        ),
    )
    yield "first-page", _request(None, page=1, pages=2, items=items)
    yield "last-page", _request({"kind": "items", "on_unknown": "hold"}, page=2, pages=2, origin="trigger")
    yield "selection", _request({"kind": "selection", "selections": selections}, preview=True, parent=CHILD)
    yield "retry", _request({"kind": "retry", "parent": CHILD})


def _plan_commands() -> Cases:
    by: dict[str, Any] = {
        "plan_id": PLAN,
        "operation_id": OPERATION,
        "actor": "user:ann",
        "reason": "checked by hand",
    }
    messages: list[tuple[type[Event[Any]], Any]] = [
        (requests.PlanApply, requests.PlanApplyData(**by, preview_hash=HASH, confirm_deletions=True)),
        (requests.PlanApprove, requests.PlanApproveData(**by, preview_hash=HASH)),
        (requests.PlanReject, requests.PlanOperationData(**by)),
        (requests.PlanPause, requests.PlanOperationData(**by)),
        (requests.PlanResume, requests.PlanOperationData(**by)),
        (requests.PlanCancel, requests.PlanCancelData(**by, kill=True)),
        (requests.PlanRulesRequest, requests.PlanRulesRequestData(**by, rules=Rules(limit=8, priority=70))),
        (
            requests.PlanRetry,
            requests.PlanRetryData(**by, child_plan_id=CHILD, item_keys=("load",), definitions_revision=43),
        ),
    ]
    for message, data in messages:
        yield "", _command(message, data, str(PLAN))


def _command(message: type[Event[Any]], data: Any, subject: str) -> Event[Any]:
    return message.of(data, subject=subject, source="signalbox/api-gateway", time=NOW, id=OPERATION, traceparent=TRACE)


OOZIE_JOB: Final = "0000012-261128133000889-oozie-C"


def _operations() -> Cases:
    by: dict[str, Any] = {"operation_id": OPERATION, "actor": "user:ann", "reason": "on call"}
    o = operations
    unknown: dict[str, Any] = {**by, "plan_id": PLAN, "task_id": TASK, "attempt": 2}
    adopt = o.TaskResolveData(**unknown, decision="adopt", handle="app-17")
    yield "retry", _command(o.TaskResolve, o.TaskResolveData(**unknown, decision="retry"), f"task:{TASK}")
    backfill = o.ScheduleBackfillData(
        **by, schedule_id="nightly", from_at=DUE, until_at=DUE + timedelta(days=3), definitions_revision=42
    )
    about: list[tuple[type[Event[Any]], str, Any]] = [
        (o.TaskResolve, f"task:{TASK}", adopt),
        (o.TaskSavepoint, f"task:{TASK}", o.TaskSavepointData(**unknown, engine_id="flink-prod", stop=True)),
        (
            o.TaskAnnotate,
            f"task:{TASK}",
            o.TaskAnnotateData(**unknown, engine_id="airflow-etl", handle=f"etl/sb-{TASK}-2", note="Checked by ann"),
        ),
        (o.DagPause, "engine:airflow-etl", o.DagPauseData(**by, engine_id="airflow-etl", dag_id="etl", paused=True)),
        (
            o.OozieControl,
            "engine:oozie-prod",
            o.OozieControlData(**by, engine_id="oozie-prod", job=OOZIE_JOB, action="kill", numbers=(2, 5)),
        ),
        (
            o.OozieShow,
            "engine:oozie-prod",
            o.OozieShowData(**by, engine_id="oozie-prod", job=OOZIE_JOB, document="errorlog"),
        ),
        (
            o.EngineTest,
            "engine:oozie-prod",
            o.EngineTestData(**by, engine_id="oozie-prod", definitions_revision=42),
        ),
        (
            o.ArtifactCheck,
            "job:j",
            o.ArtifactCheckData(**by, job_id="j", job_version=3, url="http://d:8080/d.jar"),
        ),
        (
            o.ChannelTest,
            "channel:on-call",
            o.ChannelTestData(**by, channel_id="on-call", definitions_revision=42),
        ),
        (
            o.DeadLetterRedrive,
            "dead_letters:planner",
            o.DeadLetterRedriveData(**by, service="planner", dead_letter_ids=(examples.PARKED,)),
        ),
        (
            o.DeadLetterDrop,
            "dead_letters:planner",
            o.DeadLetterDropData(**by, service="planner", dead_letter_ids=(examples.PARKED,)),
        ),
        (
            o.DeliveryResend,
            "channel:on-call",
            o.DeliveryResendData(**by, channel_id="on-call", delivery_ids=(examples.DELIVERY,)),
        ),
        (
            o.IncidentAcknowledge,
            f"incident:{examples.INCIDENT}",
            o.IncidentAcknowledgeData(**by, incident_id=examples.INCIDENT),
        ),
        (
            o.IncidentSnooze,
            f"incident:{examples.INCIDENT}",
            o.IncidentSnoozeData(**by, incident_id=examples.INCIDENT, until_at=LATER),
        ),
        (
            o.IncidentResolve,
            f"incident:{examples.INCIDENT}",
            o.IncidentResolveData(**by, incident_id=examples.INCIDENT),
        ),
        (o.ScheduleBackfill, "schedule:nightly", backfill),
        (o.LogsFollow, f"task:{TASK}", o.LogsFollowData(**by, plan_id=PLAN, task_id=TASK, attempt=1)),
        (
            o.RunsObserve,
            "engine:oozie-prod",
            o.RunsObserveData(**by, engine_id="oozie-prod", run_keys=(run_key(TASK, 1),)),
        ),
        (
            reprocessing.ReprocessingStart,
            f"reprocessing:{PLAN}",
            reprocessing.ReprocessingStartData.model_validate(
                {**by, "job_id": PLAN, "engine": "local", "definitions_revision": 42, "config": REPROCESSING}
            ),
        ),
        (
            reprocessing.ReprocessingCancel,
            f"reprocessing:{PLAN}",
            reprocessing.ReprocessingCancelData(**by, job_id=PLAN),
        ),
        (o.PlanRepublish, f"plan:{PLAN}", o.PlanRepublishData(**by, plan_ids=(PLAN, CHILD), note="rebuilt")),
    ]
    for message, target, data in about:
        yield "", _command(message, data, target)


def _ticks() -> Cases:
    tick: dict[str, Any] = {
        "tick_id": examples.TICK,
        "schedule_id": "nightly",
        "schedule_revision": 41,
        "due_at": DUE,
        "event_date": EVENT_DATE,
        "zone_data_version": "2026a",
    }
    fired = ticks.ScheduleTickedData.model_validate(
        {
            **tick,
            "plan_id": plan_id_from_tick(examples.TICK),
            "cause": "late",
            "schedule": examples.schedule(),
        }
    )
    skipped = ticks.ScheduleTickSkippedData.model_validate({**tick, "why": "missed", "detail": "older than 120 s"})
    about: dict[str, Any] = {
        "subject": "nightly",
        "source": "signalbox/scheduler",
        "time": NOW,
        "id": examples.TICK,
    }
    yield "", ticks.ScheduleTicked.of(fired, **about)
    yield "", ticks.ScheduleTickSkipped.of(skipped, **about)


def _triggers() -> Cases:
    yield (
        "",
        triggers.TriggerEvent(
            id="A234-1234-1234",
            source="/stores/eu",
            type="com.example.file.created",
            subject="/in/2026-03-28/part-0.json",
            time=NOW,
            traceparent=TRACE,
            data={"size": 1024, "mode": "incremental", "parts": [1, 2, None]},
        ),
    )
    bare: dict[str, Any] = {
        "id": "1",
        "source": "/sensors",
        "type": "ping",
        "time": NOW,
        "datacontenttype": "application/avro",
    }
    yield "binary-data", triggers.TriggerEvent.model_validate({**bare, "data_base64": "AAEC/w=="})


def _task_commands() -> Cases:
    t = task_commands
    rules = t.PlanRulesData(plan_id=PLAN, version=2, rules=examples.pipeline().rules, held=True, held_reason="paused")
    specs = [
        {
            "task_id": UUID(int=number + 1),
            "item_key": f"load/{number}",
            "position": number,
            "step": "load",
            "engine": "local",
            "work": work,
            "params": {"day": "2026-03-28"},
            "event_date": EVENT_DATE,
            "retries": {"max_attempts": 3},
            "not_before_at": NOW,
            "group": "load",
            "group_limit": 2,
            "labels": {"team": "data"},
        }
        for number, work in enumerate(examples.works())
    ]
    ensure = t.TasksEnsureData.model_validate(
        {"plan_id": PLAN, "definitions_revision": 42, "rules_version": 2, "tasks": specs, "known": [TASK]}
    )
    cancel = t.TasksCancelData(plan_id=PLAN, task_ids=(TASK,), kill=True, actor="user:ann", reason="wrong day")
    resolve = t.SelectionResolveData(
        plan_id=PLAN,
        selection_id=selection_id(PLAN, "0", 1),
        round=1,
        engine="oozie-prod",
        definitions_revision=42,
        selection=RoutedActions(bundles=("0000001-B",), dates=((DUE, LATER),)),
    )
    about: dict[str, Any] = {"subject": PLAN, "source": "signalbox/planner", "time": NOW, "traceparent": TRACE}
    yield "", t.PlanRules.of(rules, aggregateversion=2, **about)
    yield "", t.TasksEnsure.of(ensure, id=OPERATION, **about)
    yield "", t.TasksCancel.of(cancel, id=OPERATION, **about)
    yield "", t.SelectionResolve.of(resolve, id=OPERATION, **about)


def _definitions() -> Cases:
    known: list[Any] = [
        *examples.engines(),
        *(examples.job(number) for number in range(len(examples.works()))),
        examples.pipeline(),
        examples.schedule(),
        examples.trigger(),
        *examples.channels(),
        examples.subscription(),
        examples.freeze(),
        examples.move(),
    ]
    for revision, definition in enumerate(known, 1):
        yield definition.id, _snapshot(definition.kind, definition.id, revision, definition)
    yield "deleted", _snapshot("freeze", "month-end", 43, None)


def _snapshot(kind: str, id: str, revision: int, definition: Any) -> definitions.DefinitionSnapshot:
    data = definitions.DefinitionSnapshotData(
        kind=kind, id=id, revision=revision, deleted=definition is None, definition=definition
    )
    return definitions.DefinitionSnapshot.of(
        data, subject=f"{kind}:{id}", source="signalbox/api-gateway", time=NOW, aggregateversion=revision
    )
