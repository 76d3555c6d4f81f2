"""In: reprocessing.start, reprocessing.cancel; plan.state, tasks.state. Changes: job, worker.
Out: operation.result for what is refused at once, plan.cancel.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.plans import PlanStated
from signalbox_contracts.messages.reprocessing import ReprocessingCancel, ReprocessingStart
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.messages.tasks import TaskRecord, TasksStated, TasksStatedData
from signalbox_contracts.states import PLAN_ENDS, PlanState, TaskState
from signalbox_reprocessor import facts
from signalbox_reprocessor.store import jobs
from signalbox_reprocessor.verdict import judge

LIVE = ("pending", "running")
Now = Callable[[], datetime]


def control(wake: Callable[[], None], now: Now) -> Router:
    """Jobs are started and cancelled."""
    router = Router()

    @router.on(ReprocessingStart)
    async def start(work: UnitOfWork, events: Sequence[Received[ReprocessingStart]]) -> None:
        for received in events:
            trace = received.event.traceparent or received.trace.get("traceparent")
            await jobs.accept(work.connection, received.event.data, at=received.event.time, traceparent=trace)
        work.on_commit(wake)

    @router.on(ReprocessingCancel)
    async def cancel(work: UnitOfWork, events: Sequence[Received[ReprocessingCancel]]) -> None:
        known = await jobs.lock(work.connection, [received.event.data.job_id for received in events])
        for received in events:
            data = received.event.data
            job = known.get(data.job_id)
            outcome, reason = Outcome.DONE, ""
            if job is None or job["status"] not in LIVE:
                outcome, reason = Outcome.REFUSED, f"job {data.job_id} is {job['status'] if job else 'not known'}"
            elif not await jobs.cancel_unplanned(
                work.connection, data.job_id, "cancelled before its files were listed"
            ):
                facts.publish_cancel(work, data, data.job_id, now())
            facts.publish_answer(
                work, data.operation_id, data.job_id, "reprocessing.cancel", outcome, now(), reason=reason
            )
        work.on_commit(wake)

    return router


def follow(wake: Callable[[], None]) -> Router:
    """The plans of jobs end, and tasks of workers fail."""
    router = Router()

    @router.on(PlanStated, only=lambda event: event.data.state in PLAN_ENDS)
    async def plans(work: UnitOfWork, events: Sequence[Received[PlanStated]]) -> None:
        ends = {received.event.data.plan_id: received.event.data for received in events}
        for id, job in (await jobs.lock(work.connection, list(ends))).items():
            if job["status"] in LIVE and job["planned_at"] is not None:
                sums = await jobs.ledger_sums(work.connection, id)
                status, error = judge(ends[id].state, ends[id].reason or job["error"] or "", sums)
                await jobs.finish(work.connection, id, status, error)
        work.on_commit(wake)

    @router.on(TasksStated, only=lambda event: bool(_failed_workers(event.data)))
    async def tasks(work: UnitOfWork, events: Sequence[Received[TasksStated]]) -> None:
        for received in events:
            data = received.event.data
            job = (await jobs.lock(work.connection, [data.plan_id])).get(data.plan_id)
            for task in _failed_workers(data):
                if job is None:
                    continue
                words = task.error or f"its task failed: {task.cause.value if task.cause else 'unknown'}"
                if task.item_key == facts.INDEXED_ITEM:
                    await _explain_failure(work, job, words)
                elif job["status"] in LIVE:
                    index = int(task.item_key.removeprefix(facts.ITEM))
                    await jobs.fail_worker(work.connection, data.plan_id, index, words)

    return router


async def _explain_failure(work: UnitOfWork, job: Row, words: str) -> None:
    """The task of an Indexed Job failed: without its words nobody learns that the cluster refused it, and why."""
    error: str | None = words
    if job["status"] == "failed":  # the end of its plan was read first
        _, error = judge(PlanState.FAILED, words, await jobs.ledger_sums(work.connection, job["id"]))
    elif job["status"] not in LIVE:
        return
    await jobs.explain(work.connection, job["id"], error or words)


def _failed_workers(data: TasksStatedData) -> list[TaskRecord]:
    return [task for task in data.tasks if task.state is TaskState.FAILED and _is_worker(task.item_key)]


def _is_worker(key: str) -> bool:
    return key == facts.INDEXED_ITEM or (key.startswith(facts.ITEM) and key.removeprefix(facts.ITEM).isdigit())
