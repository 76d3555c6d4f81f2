"""One trace from the HTTP call to the end on the engine, across the death of the executor that submitted it."""

from collections.abc import Sequence
from typing import Any

from demo.api import Api
from support.e2e import EXECUTOR, RunningStack, started_once, unique, until, until_async

OF_THE_DEAD = {"process signalbox.tasks.state.v1", "send tasks.v1"}
"""The killed executor took its last spans along: what it had just accepted and said. Only what hangs on these is loose;
the submit and the end, of which people ask, hang on the planner's span."""


def connected_to(spans: Sequence[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Names of the spans without a parent here, and of those that hang on none of the others."""
    known = {span["span_id"] for span in spans}
    roots = [span["name"] for span in spans if not span["parent_id"]]
    loose = [span["name"] for span in spans if span["parent_id"] and span["parent_id"] not in known]
    return roots, loose


async def test_one_trace_connects_the_call_the_submit_and_the_end_across_the_executors_death(
    stack: RunningStack, api: Api
) -> None:
    job = unique("traced")
    script = {"run_seconds": 1, "log": "hello from the engine\n"}
    work = {"kind": "scripted", "script": script}
    await api.define("jobs", {"id": job, "name": job, "engine": "scripted", "work": work})
    await stack.arm(EXECUTOR, "executor.before_record")
    before = stack.service(EXECUTOR).starts
    plan = await api.ask("POST", f"/jobs/{job}/start", {})
    await until(lambda: stack.service(EXECUTOR).starts > before, why="the executor was not killed")
    ended = await api.ended(plan["id"], seconds=40)
    assert ended["state"] == "SUCCEEDED"
    (task,) = (await api.ask("GET", f"/plans/{plan['id']}/tasks"))["items"]
    started_once(await stack.starts(), [task["run_key"]])

    spans: list[dict[str, Any]] = []

    async def trace_is_complete() -> bool:
        answer = await api.request("GET", f"/traces/{ended['trace_id']}")
        spans[:] = answer.body.get("spans", [])
        names = " ".join(span["name"] for span in spans)
        # every process sends its spans every few seconds, so children may come before their parents
        return "submit" in names and "end" in names.split() and set(connected_to(spans)[1]) <= OF_THE_DEAD

    await until_async(trace_is_complete, seconds=25, why="the trace is not whole")
    roots, loose = connected_to(spans)
    assert len(roots) == 1, [(s["service"], s["name"]) for s in spans]
    assert set(loose) <= OF_THE_DEAD, [(s["service"], s["name"]) for s in spans]
    assert {span["service"] for span in spans} >= {"api-gateway", "planner", "executor"}
    assert ended["trace_id"] == plan["trace_id"]

    drawn = stack.command("trace", ended["trace_id"])
    assert drawn.returncode == 0, drawn.stderr
    for word in ("api-gateway", "planner", "executor", "submit"):
        assert word in drawn.stdout
