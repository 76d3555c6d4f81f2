"""Random plans under random controls on the whole stack: every one ends, and no service parks a message."""

import asyncio
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.full_stack import SERVICES, FullStack, make_full_stack
from support.scripted import scripted_server
from support.service_fixture import until

pytestmark = pytest.mark.timeout(600)
SEED = int(os.environ.get("RANDOM_SEED", "1"))
DEBUG = "RANDOM_DEBUG" in os.environ
SECONDS = float(os.environ.get("RANDOM_SECONDS", "20"))
"""How long controls are sent; `RANDOM_SECONDS=600` is a longer hunt."""
ENDED = ("SUCCEEDED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED", "REFUSED")


@pytest.fixture
def engine_url(tmp_path: Path) -> Iterator[str]:
    with scripted_server(tmp_path) as url:
        yield url


@pytest_asyncio.fixture
async def stack(postgres_url: str, kafka_bootstrap: str, engine_url: str, tmp_path: Path) -> AsyncGenerator[FullStack]:
    async with make_full_stack(postgres_url, kafka_bootstrap, engine_url, tmp_path) as made:
        yield made


class Caller:
    """Sends requests that fit, or do not fit any more, to plans that may have ended meanwhile."""

    def __init__(self, stack: FullStack, seed: int) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.plans: list[str] = []
        self.answers: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []

    async def call(self, name: str, method: str, path: str, body: Any = None) -> Any:
        answer = await self.stack.answer(method, path, body)
        self.answers[name, answer.status] += 1
        if answer.status == 422 and DEBUG:
            print(name, body, answer.text[:300])
        if answer.status >= 500:
            self.failures.append(f"{method} {path} {body}: {answer.status} {answer.text[:300]}")
        return answer.body if answer.status < 300 else None

    def script(self) -> dict[str, Any]:
        choice = self.random.choice
        script: dict[str, Any] = {"run_seconds": choice([0, 0, 0.1, 0.5, 1.5])}
        script |= choice(
            [
                {}, {}, {}, {"exit_code": 1}, {"exit_code": 3}, {"never_ends": True}, {"lose_answers": 1},
                {"lose_requests": 1}, {"refuse": "no"}, {"throttle": 2}, {"result": {"rows": 7}}, {"result_text": "{"},
                {"ignore_cancels": 1}, {"stop_seconds": 0.5}, {"pending_seconds": 0.5}, {"log": "a\u2028b\x1b[31m"},
            ]
        )  # fmt: skip
        return script

    def rules(self) -> dict[str, Any]:
        choice = self.random.choice
        rules: dict[str, Any] = {"limit": choice([0, 1, 2, 3, 10])} if self.random.random() < 0.6 else {}
        rules |= choice(
            [{}, {}, {"canary": {"first": 1}}, {"brake": {"failure_ratio": 0.5, "after_items": 2}}, {"priority": 90}]
        )
        rules |= choice([{}, {}, {"order": "newest_first"}, {"starts_per_minute": 600}])
        return rules

    def tries(self) -> dict[str, Any]:
        return self.random.choice(
            [{}, {"retries": {"max_attempts": 2, "delay_seconds": 0.1}}, {"time_limits": {"running_seconds": 1}},
             {"on_unknown": "fail"}, {"on_unknown": "retry"}]
        )  # fmt: skip

    async def start_list(self) -> None:
        items = [
            {"key": f"i/{number}", "engine": "e1", "work": {"kind": "scripted", "script": self.script()}}
            for number in range(self.random.randint(1, 12))
        ]
        body = {"name": "a list", "items": items, "rules": self.rules(), **self.tries(), "labels": self.labels()}
        self.note(await self.call("start list", "POST", "/plans", body))

    async def start_job(self) -> None:
        id = f"j{uuid.uuid4().hex[:8]}"
        job = {"id": id, "engine": "e1", "work": {"kind": "scripted", "script": self.script()}, **self.tries()}
        if await self.call("create job", "POST", "/jobs", job):
            self.note(await self.call("start job", "POST", f"/jobs/{id}/start", {"labels": self.labels()}))

    async def start_pipeline(self) -> None:
        id, choice = f"p{uuid.uuid4().hex[:8]}", self.random.choice
        steps: list[dict[str, Any]] = []
        for number in range(self.random.randint(1, 6)):
            step: dict[str, Any] = {
                "id": f"s{number}", "engine": "e1", "work": {"kind": "scripted", "script": self.script()},
                **self.tries(),
            }  # fmt: skip
            before = self.random.sample(range(number), self.random.randint(0, min(number, 2)))
            step["depends_on"] = [
                {"step": f"s{one}", "when": choice(["on_success", "on_success", "on_failure", "always"])}
                for one in before
            ]
            step |= self.one_of(
                {}, {}, {"matrix": {"n": [1, 2, 3]}}, {"condition": "{{ params.run }}"}, {"required": False}
            )
            steps.append(step)
        if self.random.random() < 0.3:
            work = {"kind": "scripted", "script": self.script()}
            steps.append({"id": "undo", "engine": "e1", "work": work, "compensates": "s0"})
        rules = {key: value for key, value in self.rules().items() if key in ("limit", "priority")}
        pipeline: dict[str, Any] = {
            "id": id,
            "steps": steps,
            "params": {"run": {"type": "boolean", "default": True}},
            "rules": rules,
        }
        if self.random.random() < 0.2:
            pipeline["time_limit_seconds"] = 2
        if await self.call("create pipeline", "POST", "/pipelines", pipeline):
            body = {"params": {"run": choice([True, False])}, "labels": self.labels()}
            self.note(await self.call("run pipeline", "POST", f"/pipelines/{id}/run", body))

    def one_of(self, *choices: dict[str, Any]) -> dict[str, Any]:
        return self.random.choice(choices)

    def labels(self) -> dict[str, str]:
        return {"team": self.random.choice("abc")}

    def note(self, plan: Any) -> None:
        if plan:
            self.plans.append(plan["id"])

    async def control(self) -> None:
        if not self.plans:
            return
        choice = self.random.choice
        plan, older = choice(self.plans[-15:]), choice(self.plans[:-15] or self.plans)
        requests: list[tuple[str, str, str, dict[str, Any]]] = [
                ("pause", "POST", f"/plans/{plan}/pause", {}),
                ("resume", "POST", f"/plans/{plan}/resume", {}),
                ("cancel", "POST", f"/plans/{plan}/cancel", {"kill": choice([True, False])}),
                ("rules", "PUT", f"/plans/{plan}/rules", {"rules": self.rules()}),
                ("retry", "POST", f"/plans/{older}/retry", {}),
                ("rerun", "POST", f"/plans/{older}/rerun", {"scope": choice(["start", "failed"])}),
                ("rerun from", "POST", f"/plans/{older}/rerun", {"scope": choice(["from", "only"]), "steps": ["s1"]}),
                ("bulk", "POST", f"/plans/bulk?label=team:{choice('abc')}",
                 {"action": choice(["pause", "resume", "resume", "cancel", "retry"])}),
                ("bulk tasks", "POST", f"/tasks/bulk?state={choice(['QUEUED', 'RUNNING'])}",
                 {"action": "cancel", "kill": True}),
                ("resolve", "POST", "/tasks/bulk?state=UNKNOWN",
                 {"action": "resolve", "decision": choice(["adopt", "retry", "fail"]), "reason": "seen"}),
                ("engine", "POST", f"/engines/e1/{choice(['pause', 'drain', 'resume', 'resume'])}", {}),
        ]  # fmt: skip
        name, method, path, body = choice(requests)
        made = await self.call(name, method, path, body)
        if name.startswith(("retry", "rerun")):
            self.note(made)

    async def cancel_task(self) -> None:
        if not self.plans:
            return
        plan = self.random.choice(self.plans[-15:])
        found = await self.call("tasks", "GET", f"/plans/{plan}/tasks")
        if found and found["items"]:
            task = self.random.choice(found["items"])["id"]
            await self.call("cancel task", "POST", f"/tasks/{task}/cancel", {"kill": self.random.random() < 0.5})

    async def run(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            act = self.random.choice(
                [self.start_list, self.start_job, self.start_pipeline, self.control, self.control, self.cancel_task]
            )
            await act()
            await asyncio.sleep(self.random.random() * 0.4)


async def test_random_plans_under_random_controls_all_end_and_nothing_is_parked(stack: FullStack) -> None:
    """Such a hunt found that a job whose task was cancelled alone stayed RUNNING for ever."""
    callers = [Caller(stack, SEED * 100 + number) for number in range(3)]
    await asyncio.gather(*(caller.run(SECONDS) for caller in callers))
    print("seed", SEED, sorted(sum((caller.answers for caller in callers), Counter[tuple[str, int]]()).items()))
    assert [failure for caller in callers for failure in caller.failures] == []

    await stack.ask("POST", "/engines/e1/resume", {})

    async def all_ended() -> bool:
        """Whatever runs for ever is killed, whatever waits for a person is decided."""
        await stack.answer("POST", "/tasks/bulk?state=UNKNOWN",
                           {"action": "resolve", "decision": "fail", "reason": "end"})  # fmt: skip
        live = [state for state in (await stack.ask("GET", "/plans/counts"))["counts"] if state not in ENDED]
        query = "&".join(f"state={state}" for state in live)
        if live:
            await stack.answer("POST", f"/plans/bulk?{query}", {"action": "cancel", "kill": True})
        await parked_nothing(stack)
        return not live

    await until(all_ended, seconds=120, why="every plan ended")
    await stack.executors_ended()
    await stack.until_quiet(seconds=60)
    await stack.until_as_owned(seconds=60)
    starts = await stack.executors.starts()
    assert {key: times for key, times in starts.items() if times != 1} == {}
    await parked_nothing(stack)


async def parked_nothing(stack: FullStack) -> None:
    for name in SERVICES:
        parked = await stack.store(name).rows("SELECT * FROM dead_letter LIMIT 3")
        assert not parked, (name, [dict(row) for row in parked])
