"""One example for every body and answer of the API's document, made from the samples of the contracts."""

from typing import Any, Final

from pydantic_core import to_jsonable_python

from signalbox_contracts.definitions.differences import differences
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.messages.dead_letters import DeadLetterParked
from signalbox_contracts.messages.deliveries import DeliveryStated
from signalbox_contracts.messages.plans import PlanItems, PlanStated
from signalbox_contracts.messages.states import EngineStated, IncidentStated, ScheduleStated, TriggerStated
from signalbox_contracts.messages.tasks import TasksStated
from signalbox_contracts.samples import facts
from signalbox_contracts.samples.definitions import INCIDENT, LATER, NOW, OPERATION, PLAN, TASK, TICK, works
from signalbox_gateway.definitions.kinds import KINDS, DefinitionKind
from signalbox_gateway.definitions.store import Saved
from signalbox_gateway.flink_jobs.document import to_document
from signalbox_gateway.read_model import wait_reasons
from signalbox_gateway.routes import audit, flink_answers, identity_answers, oozie_jobs, reprocessing_answers
from signalbox_gateway.workflows import examples as workflows

_TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
_ACTOR: Final = "user:ann"
_REASON: Final = {"reason": "maintenance until noon"}
Example = dict[str, Any]


def examples() -> dict[str, Example]:
    """For each operation id its `request` and `response`, those it has."""
    found = {
        **_plans(), **_tasks(), **_bulk(), **_others(), **_starts(), **_notifications(), **flink_answers.examples(),
        **workflows.examples(), **identity_answers.examples(), **audit.examples(), **reprocessing_answers.examples(),
    }  # fmt: skip
    for entry in KINDS.values():
        found |= _definitions(entry)
    return to_jsonable_python(found)


def _starts() -> dict[str, Example]:
    """Schedules and events."""
    schedule = {"request": _REASON, "response": _definitions(KINDS["schedule"])["schedule_show"]["response"]}
    due = {"due_at": LATER, "event_date": "2026-03-01"}
    tick = {
        "tick_id": TICK, **due, "outcome": "FIRED", "cause": "due", "detail": "", "plan_id": PLAN,
        "plan_state": "SUCCEEDED",
    }  # fmt: skip
    match = {
        "trigger_id": "new-files", "source": "lake", "event_id": "42", "event_type": "file.created",
        "outcome": "matched", "why": "", "plan_id": PLAN, "plan_state": "RUNNING", "at": NOW,
    }  # fmt: skip
    hour = {
        "hour": NOW, "source": "lake", "received": 120, "unclaimed": 3, "repeated": 1, "last_event_at": NOW,
        "lag_seconds": 0.2,
    }  # fmt: skip
    signer = {
        "name": "lake", "description": "", "secrets": 1, "tolerance_seconds": 300, "created_at": NOW,
        "updated_at": NOW, "updated_by": _ACTOR,
    }  # fmt: skip
    sent = {"type": "file.created", "id": "42", "data": {"path": "/in/a.gz", "size": 11}}
    return {
        "schedule_preview": {
            "request": {"cron": "0 2 * * *", "zone": "Europe/Prague", "count": 1},
            "response": {"words": "At 02:00, every day, Europe/Prague", "next": [LATER]},
        },
        "schedule_next": {"response": {"words": "At 02:00, every day, UTC", "ticks": [due]}},
        "schedule_ticks": {"response": _page(tick)},
        "schedule_pause": schedule,
        "schedule_resume": schedule,
        "schedule_run": {"request": {"event_date": "2026-03-01", "reason": "late data"}, "response": _plan()},
        "schedule_backfill": {
            "request": {"from_at": NOW, "until_at": LATER, "overlap": "queue", "reason": "late data"},
            "response": _operation("schedule.backfill", "schedule:nightly"),
            "response 200": {"fires": 1, "fired_before": 0, "ticks": [{**due, "decision": "fire"}]},
        },
        "trigger_dry_run": {
            "request": {"id": "new-files", "events": 100},
            "response": {
                "read": 100,
                "not_looked_at": 99,
                "unreadable": 0,
                "complete": True,
                "outcomes": {"matched": 1},
                "events": [
                    {
                        "event_id": "42",
                        "source": "lake",
                        "event_type": "file.created",
                        "time": NOW,
                        "outcome": "matched",
                        "why": "",
                        "params": {"path": "/in/a.gz"},
                        "event_date": "2026-03-01",
                    }
                ],
            },
        },
        "event_send": {"request": sent, "response": {"id": "42", "source": "lake", "type": "file.created"}},
        "event_list": {"response": _page(match)},
        "event_show": {"response": {"event_id": "42", "source": "lake", "matches": [match]}},
        "event_source_set": {"request": {"signing_secrets": ["whsec_" + "A" * 32]}, "response": signer},
        "event_source_show": {"response": signer},
        "event_source_list": {"response": {"items": [signer], "next_cursor": None}},
        "event_hours": {
            "response": {
                "items": [{"hour": NOW, "source": "lake", "outcome": "matched", "events": 7, "plans": 7}],
                "sources": [hour],
            }
        },
    }


def _notifications() -> dict[str, Example]:
    """Channels, incidents, deliveries and notification configurations."""
    record = _sample(IncidentStated)
    incident = {
        "id": record.incident_id, "project": "default", "opened_at": record.first_at,
        **record.model_dump(mode="json", exclude={"incident_id"}),
    }  # fmt: skip
    fact = _sample(DeliveryStated)
    delivery = {"id": fact.delivery_id, **fact.model_dump(mode="json", exclude={"delivery_id"})}
    target = f"incident:{INCIDENT}"
    config = {
        "name": "slack-alerts", "channel": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/x",
        "notification_types": ["workflow_failed", "workflow_completed"],
    }  # fmt: skip
    shown: Example = {
        "id": "slack-alerts", **config, "channel_id": "slack-alerts", "subscription_id": "slack-alerts",
        "webhook_url": "secret://notification-slack-alerts", "recipients": [], "signing_key": None,
        "notification_types": ["workflow.failed", "workflow.completed"], "enabled": True, "description": "",
        "project": "default", "labels": {}, "revision": 42, "created_at": NOW, "updated_at": LATER,
        "updated_by": _ACTOR,
    }  # fmt: skip
    operations = {"operations": [{"operation_id": OPERATION, "channel_id": "on-call", "ids": [fact.delivery_id]}]}
    return {
        "live_ticket_create": {"response": {"ticket": "q0Bf4mV1x7", "expires_at": LATER}},
        "channel_test": {"request": _REASON, "response": _operation("channel.test", "channel:on-call")},
        "channel_preview": {
            "request": {"id": "on-call", "event_type": "workflow_failed"},
            "response": {
                "kind": "email",
                "title": "Nightly failed",
                "text": "exit code 1",
                "payload": {"subject": "[error] Nightly failed", "text": "Nightly failed", "html": "<html></html>"},
                "problem": "",
                "variables": {"type": "workflow.failed", "occurrences": 7},
            },
        },
        "incident_list": {"response": _page(incident)},
        "incident_show": {"response": incident},
        "incident_acknowledge": {"request": _REASON, "response": _operation("incident.acknowledge", target)},
        "incident_snooze": {
            "request": {"until_at": LATER, "reason": "known, mended tomorrow"},
            "response": _operation("incident.snooze", target),
        },
        "incident_resolve": {"request": _REASON, "response": _operation("incident.resolve", target)},
        "delivery_list": {"response": _page(delivery)},
        "delivery_show": {"response": delivery},
        "delivery_resend": {"request": {"ids": [fact.delivery_id], "reason": "mended"}, "response": operations},
        "notification_config_list": {"response": _page(shown)},
        "notification_config_show": {"response": shown},
        "notification_config_create": {"request": config, "response": shown},
        "notification_config_update": {"request": config, "response": shown},
    }


def _sample(message: type[Any]) -> Any:
    """The data of the first sample of this message."""
    return next(event.data for _, event in facts.events() if isinstance(event, message))


def _page(item: Any) -> Example:
    return {"items": [item], "next_cursor": None}


def _plan() -> Example:
    record = _sample(PlanStated)
    shown = record.model_dump(mode="json", exclude={"plan_id", "answered", "transitions", "waiting"})
    waiting = [wait_reasons.describe(one.model_dump(mode="json"), plan=str(PLAN)) for one in record.waiting]
    return {
        "id": PLAN, **shown, "waiting": waiting, "trace_id": _TRACE_ID, "pending_operation": None, "complete": False,
    }  # fmt: skip


def _task() -> Example:
    record = _sample(TasksStated).tasks[0]
    shown = record.model_dump(mode="json", exclude={"task_id", "transitions", "attempts"})
    return {"id": TASK, "plan_id": PLAN, **shown, "trace_id": _TRACE_ID, "pending_operation": None}


def _letter() -> Example:
    record = _sample(DeadLetterParked)
    shown = record.model_dump(mode="json", exclude={"dead_letter_id"})
    return {"id": record.dead_letter_id, "state": "PARKED", "operation_id": None, **shown}


def _operation(operation: str, target: str) -> Example:
    return {
        "id": OPERATION, "operation": operation, "target": target, "actor": _ACTOR, "reason": "", "state": "pending",
        "answer": "", "details": None, "trace_id": _TRACE_ID, "requested_at": NOW, "answered_at": None,
    }  # fmt: skip


def _state(kind: str) -> Example:
    """What the owner of a definition last published about it."""
    if kind == "freeze":
        return {"active": True, "phase": "draining", "since_at": NOW, "until_at": LATER, "next_at": None, "running": 3,
                "waiting": 40}  # fmt: skip
    message = {"engine": EngineStated, "schedule": ScheduleStated, "trigger": TriggerStated}[kind]
    return _sample(message).model_dump(mode="json", exclude={"events"})


def _definitions(entry: DefinitionKind) -> dict[str, Example]:
    saved = Saved(entry.example, 42, 2, NOW, LATER, _ACTOR)  # pyright: ignore[reportArgumentType]
    document = to_document(entry.example.work) if isinstance(entry.example, Job) else {}
    shown = {**saved.as_answer(), **({"state": _state(entry.kind)} if entry.load_states else {}), **document}
    written = entry.example.model_dump(mode="json", exclude_unset=True, exclude={"version", *entry.stamp("")})
    older = {**shown, "description": "before"}
    version = {
        name: value for name, value in shown.items() if name not in ("updated_at", "updated_by", "state", *document)
    }
    changes = [
        {"path": one.path, "change": one.change, "before": one.before, "after": one.after}
        for one in differences(older, shown)
    ]
    return {
        f"{entry.kind}_list": {"response": _page(shown)},
        f"{entry.kind}_show": {"response": shown},
        f"{entry.kind}_versions": {"response": _page({**version, "created_by": _ACTOR, "reason": ""})},
        f"{entry.kind}_diff": {"response": {"from": 1, "to": 2, "changes": changes}},
        f"{entry.kind}_usage": {"response": {"users": ["schedule:nightly"]}},
        f"{entry.kind}_create": {"request": written, "response": shown},
        f"{entry.kind}_update": {"request": written, "response": shown},
        **({f"engine_{verb}": {"request": _REASON, "response": shown} for verb in ("pause", "drain", "resume")}
           if entry.kind == "engine" else {}),
    }  # fmt: skip


def _plans() -> dict[str, Example]:
    plan = _plan()
    item = _sample(PlanItems).items[0].model_dump(mode="json")
    operation = {"operation_id": OPERATION, "plan": plan}
    move = {"version": 5, "state": "RUNNING", "at": NOW, "actor": _ACTOR, "reason": "asked"}
    work = {"key": "load", "engine": "local", "work": works()[0]}
    return {
        "job_start": {"request": {"params": {"day": "2026-03-28"}, "reason": "late data"}, "response": plan},
        "job_stop": {
            "request": {"kill": True, "reason": "wrong input"},
            "response": {"operations": [{"operation_id": OPERATION, "plan_id": PLAN}]},
        },
        "plan_create": {"request": {"name": "Two loads", "items": [work], "rules": {"limit": 4}}, "response": plan},
        "plan_list": {"response": _page(plan)},
        "plan_counts": {"response": {"counts": {"RUNNING": 3, "SUCCEEDED": 120}}},
        "plan_show": {"response": plan},
        "plan_forecast": {"response": _forecast(plan["id"])},
        "plan_events": {"response": _page(move)},
        "plan_items": {"response": _page(item)},
        "plan_tasks": {"response": _page(_task())},
        "plan_apply": {"request": {"preview_hash": "0" * 64, "reason": "as discussed"}, "response": operation},
        "plan_reject": {"request": {"reason": "not this week"}, "response": operation},
        "plan_pause": {"request": _REASON, "response": operation},
        "plan_resume": {"request": _REASON, "response": operation},
        "plan_cancel": {"request": {"kill": False, "reason": "not needed"}, "response": operation},
        "plan_rules": {"request": {"rules": {"limit": 8}, "reason": "more slots"}, "response": operation},
        "pipeline_run": {"request": {"params": {"mode": "initial_load"}, "event_date": "2026-03-28"}, "response": plan},
        "pipeline_apply": {
            "request": {"pipelines": [{"id": "nightly", "steps": [{"id": "load", "work": works()[0]}]}]},
            "response": {"items": [{"id": "nightly", "outcome": "created", "version": 1}], "dry_run": False},
        },
        "plan_rerun": {"request": {"scope": "from", "steps": ["load"]}, "response": {**plan, "parent": PLAN}},
        "plan_retry": {"request": {"item_keys": [], "reason": "disk was full"}, "response": {**plan, "parent": PLAN}},
    }


def _forecast(plan_id: str) -> dict[str, Any]:
    return {
        "plan_id": plan_id, "items_left": 40, "reason": "",
        "forecast": {
            "durations": {"fast": 50.0, "middle": 60.0, "slow": 90.0, "samples": 12},
            "fast_seconds": 500.0, "seconds": 600.0, "slow_seconds": 900.0,
            "ends_at": "2026-03-02T02:30:00Z", "earliest_end_at": "2026-03-02T02:28:20Z",
            "latest_end_at": "2026-03-02T02:35:00Z", "bound_by": "limit",
            "changes": [{"what": "limit 8 instead of 4", "seconds": 300.0}],
        },
    }  # fmt: skip


def _bulk() -> dict[str, Example]:
    entry = {
        "id": OPERATION, "action": "plan.cancel", "filter": "state=RUNNING&label=team:sales", "actor": _ACTOR,
        "reason": "wrong input", "total": 120, "trace_id": _TRACE_ID, "requested_at": NOW,
    }  # fmt: skip
    shown = {**entry, "counts": {"done": 80, "pending": 39, "refused": 1}}
    item = {
        "position": 0, "target": f"plan:{PLAN}", "name": "Sales by day", "operation_id": OPERATION, "plan_id": None,
        "state": "done", "answer": "",
    }  # fmt: skip
    resolve = {"action": "resolve", "decision": "retry", "reason": "the cluster was replaced"}
    return {
        "plan_bulk": {"request": {"action": "cancel", "reason": "wrong input"}, "response": shown},
        "task_bulk": {"request": resolve, "response": {**shown, "action": "task.resolve", "filter": "state=UNKNOWN"}},
        "bulk_list": {"response": _page(entry)},
        "bulk_show": {"response": shown},
        "bulk_items": {"response": _page(item)},
    }


def _tasks() -> dict[str, Example]:
    task = _task()
    attempt = {
        "attempt": 1, "state": "RUNNING", "run_key": task["run_key"], "handle": "host-1/4711", "handle_url": None,
        "phase": "failed", "cause": "failed", "exit_code": 1, "error": "exit code 1", "submitted_at": NOW,
        "started_at": NOW, "ended_at": LATER,
    }  # fmt: skip
    move = {"version": 7, "state": "SUCCEEDED", "attempt": 2, "at": LATER, "reason": "exit code 0"}
    operation = {"operation_id": OPERATION, "task": task}
    progress = {
        "at": LATER, "attempt": 2, "fraction": 0.5, "message": "stage 2 of 4", "steps": [],
        "workers": [{"worker": 1, "phase": "failed", "error": "exit code 1"}],
    }  # fmt: skip
    resolve = {"action": "adopt", "attempt": 2, "handle": "app-17", "reason": "seen on the master"}
    return {
        "task_list": {"response": _page(task)},
        "task_show": {"response": {**task, "progress": progress}},
        "task_attempts": {"response": _page(attempt)},
        "task_events": {"response": _page(move)},
        "task_cancel": {"request": {"kill": True, "reason": "wrong day"}, "response": operation},
        "task_resolve": {"request": resolve, "response": operation},
    }


def _others() -> dict[str, Example]:
    letter = _letter()
    entry = {name: value for name, value in letter.items() if name not in ("headers", "value_start")}
    secret = {
        "name": "slack-token", "version": 1, "uses": ["channel"], "description": "", "created_at": NOW,
        "updated_at": NOW, "updated_by": _ACTOR,
    }  # fmt: skip
    selection = {"ids": [letter["id"]], "reason": "fixed in 1.2"}
    letters = {"operations": [{"operation_id": OPERATION, "service": "planner", "ids": [letter["id"]]}]}
    operation = _operation("engine.test", "engine:oozie-prod")
    span: Example = {
        "span_id": "00f067aa0ba902b7", "parent_id": None, "service": "api-gateway", "name": "POST /api/v1/plans",
        "start_ns": "1774742407250000000", "end_ns": "1774742407262000000", "status": "unset", "attributes": {},
    }  # fmt: skip
    engine = _sample(EngineStated).model_dump(mode="json")
    status = {
        "database": {"ok": True}, "kafka": {"ok": True},
        "groups": [{"group": "signalbox.planner.control", "members": 1, "lag": 0}],
        "outbox": {"ok": True, "oldest_unsent_seconds": 0.1}, "engines": [engine], "plans": {"RUNNING": 3},
        "tasks": {"RUNNING": 12}, "parked": 0, "freezes": [], "troubles": [], "restated": [],
        "unreadable": [
            {"kind": "job", "id": "nightly", "revision": 42, "reason": "retries.max: Input should be a valid integer"}
        ],
    }  # fmt: skip
    me = {
        "name": "ann", "actor": _ACTOR, "token_id": "abcdefghijkl", "permissions": ["plan.read"], "expires_at": None,
        "id": PLAN, "bindings": [{"role": "viewer", "project": "lake", "engine": "*"}],
        "csrf_token": None,
    }  # fmt: skip
    notice = {
        "reason": "release", "mode": "hold", "since_at": NOW, "until_at": LATER, "everything": False, "engines": [],
        "projects": ["lake"],
    }  # fmt: skip
    return {
        "freeze_active": {"response": {"items": [notice]}},
        "engine_test": {"request": _REASON, "response": operation},
        "oozie_control": {**oozie_jobs.examples()["oozie_control"], "response": operation},
        "oozie_show": {**oozie_jobs.examples()["oozie_show"], "response": operation},
        "dead_letter_list": {"response": _page(entry)},
        "dead_letter_show": {"response": letter},
        "dead_letter_redrive": {"request": selection, "response": letters},
        "dead_letter_drop": {"request": selection, "response": letters},
        "operation_show": {"response": operation},
        "secret_list": {"response": _page(secret)},
        "secret_show": {"response": secret},
        "secret_set": {"request": {"value": "s3cr3t", "uses": ["channel"]}, "response": secret},
        "status_show": {"response": status},
        "trace_show": {"response": {"trace_id": _TRACE_ID, "spans": [span]}},
        "me_show": {"response": me},
    }
