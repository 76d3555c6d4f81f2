"""Every reason to wait: provoked, said by API and command line with holder, since when and remedy, and freed by it.

What frees is taken out of the sentence itself: the command between its backticks is run as it stands, `N` replaced.
"""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from demo.api import Api
from signalbox_client import exit_codes
from signalbox_local import supervisor
from signalbox_local.ports import free_ports
from signalbox_local.signalbox import SCRIPTED
from support.e2e import EXECUTOR, PLANNER, RunningStack, scripted, unique, until, until_async

ADMIN = "user:admin"
SECONDS = 60
"""Most time until a reason is said, or a remedy has freed: a second or two each, unless the machine is busy."""
FOREVER: Mapping[str, Any] = {"never_ends": True}


@dataclass
class ShownReason:
    """What a task says of why it waits, as the API has it."""

    task: str
    waiting: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        return self.waiting["sentence"]

    def command(self, begins: str, **values: str) -> list[str]:
        """The command of the sentence that begins so, with its placeholders filled in."""
        found = [one.split() for one in re.findall("`signalbox ([^`]*)`", self.sentence) if one.startswith(begins)]
        assert found, f"no `signalbox {begins} …` in: {self.sentence}"
        return [values.get(word) or word for word in found[0]]


@dataclass
class Person:
    """Who starts plans, asks why they wait, and does what the answer says."""

    stack: RunningStack
    api: Api
    plans: list[str] = field(default_factory=list[str])

    async def engine(self, connection: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """An engine of its own for each test."""
        id = unique("wait")
        at = connection or {"kind": "scripted", "url": self.stack.signalbox.scripted_url}
        definition = {"id": id, "name": id, "connection": at, "observe_every_seconds": 0.2, **changes}
        await self.api.define("engines", definition)
        return id

    async def plan(self, engine: str, count: int = 1, script: Mapping[str, Any] = FOREVER, **more: Any) -> str:
        items = [{**item, "engine": engine} for item in scripted(count, **script)]
        return await self.start({"name": unique("waiting"), "items": items, **more})

    async def start(self, body: Mapping[str, Any]) -> str:
        self.plans.append((await self.api.ask("POST", "/plans", body))["id"])
        return self.plans[-1]

    async def shows_reason(self, plan: str, why: str, holder: str, *words: str) -> ShownReason:
        """The plan's task that waits longest or last for this: API, plan and command line say the same of it."""
        found: list[dict[str, Any]] = []

        async def waits() -> bool:
            found[:] = await self.api.every(f"/tasks?plan={plan}&why={why}")
            return bool(found)

        await until_async(waits, seconds=SECONDS, why=f"no task of {plan} waits for {why}")
        task = sorted(found, key=lambda one: one["waiting"]["until_at"] or "")[-1]["id"]
        shown, of_plan = await asyncio.gather(
            self.api.ask("GET", f"/tasks/{task}"), self.api.ask("GET", f"/plans/{plan}")
        )
        [summed] = [one for one in of_plan["waiting"] if one["why"] == why]
        by_task, by_plan, task_table, plan_table = await asyncio.gather(
            *(
                self.run(noun, "show", id, *form)
                for form in (("-o", "json"), ())
                for noun, id in (("task", task), ("plan", plan))
            )
        )
        for waiting in (shown["waiting"], summed, json.loads(by_task)["waiting"]):
            assert waiting["why"] == why
            check_reason(waiting, words)
        assert shown["waiting"]["holder"] == holder
        [again] = [one for one in json.loads(by_plan)["waiting"] if one["why"] == why]
        assert again["holder"] == summed["holder"]
        for table in (task_table, plan_table):
            [line] = [line for line in table.splitlines() if "; " in line and words[0] in line]
            assert all(word in line for word in words)
        return ShownReason(task, shown["waiting"])

    async def run(self, *words: str, stdin: str | None = None) -> str:
        """`signalbox WORDS`, which must succeed."""
        done = await asyncio.to_thread(self.stack.command, *words, stdin=stdin)
        assert done.returncode == 0, f"signalbox {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    async def runs(self, task: str) -> None:
        """Return once the task runs, or has run, and says no more that it waits."""

        async def freed() -> bool:
            shown = await self.api.ask("GET", f"/tasks/{task}")
            return shown["state"] in ("RUNNING", "SUCCEEDED") and shown["waiting"] is None

        await until_async(freed, seconds=SECONDS, why=f"task {task} was not freed")

    async def in_state(self, plan: str, state: str, count: int = 1) -> list[str]:
        """The plan's tasks in this state, once there are so many."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = await self.api.every(f"/tasks?plan={plan}&state={state}")
            return len(found) >= count

        await until_async(there, seconds=SECONDS, why=f"{count} tasks of {plan} {state}")
        return [one["id"] for one in found]

    async def cancel(self, plan: str) -> None:
        await self.api.ask("POST", f"/plans/{plan}/cancel", {"kill": True})


def check_reason(waiting: Mapping[str, Any], words: Sequence[str]) -> None:
    """It names what it waits for and the holder, since when, and then what to do."""
    sentence: str = waiting["sentence"]
    assert [word for word in words if word not in sentence] == [], sentence
    since = datetime.fromisoformat(waiting["since_at"])
    assert datetime.now(UTC) - timedelta(minutes=5) < since < datetime.now(UTC) + timedelta(seconds=5)
    cause, _, remedy = sentence.partition(f", since {since.strftime('%Y-%m-%dT%H:%M:%SZ')}; ")
    assert cause
    assert remedy, sentence


@pytest_asyncio.fixture
async def person(stack: RunningStack, api: Api) -> AsyncGenerator[Person]:
    person = Person(stack, api)
    yield person
    for plan in person.plans:
        if (await api.ask("GET", f"/plans/{plan}"))["ended_at"] is None:
            await person.cancel(plan)


async def test_a_task_behind_its_plans_limit(person: Person) -> None:
    plan = await person.plan(await person.engine(), 2, rules={"limit": 1})
    shown_reason = await person.shows_reason(
        plan, "plan_limit", f"plan:{plan}", f"the limit of plan {plan} is used up (1 of 1 slots are taken)"
    )
    await person.run(*shown_reason.command("plan rules", N="2"))
    await person.runs(shown_reason.task)


async def test_a_task_behind_its_engines_limit(person: Person) -> None:
    engine = await person.engine(limits={"concurrency": 1})
    holds = await person.plan(engine)
    running = await person.in_state(holds, "RUNNING")
    plan = await person.plan(engine)
    shown_reason = await person.shows_reason(
        plan, "engine_limit", f"engine:{engine}", f"the limit of engine {engine} is used up (1 of 1 slots are taken)"
    )
    assert (await person.run(*shown_reason.command("task list"), "-o", "name")).split() == running, "who has the slots"
    await person.run(*shown_reason.command("engine update", N="2"))
    await person.runs(shown_reason.task)


async def test_a_task_of_a_paused_plan_on_an_engine_that_is_paused_too(person: Person) -> None:
    engine = await person.engine()
    await person.run("engine", "pause", engine)
    plan = await person.plan(engine)
    shut = await person.shows_reason(
        plan, "engine_paused", f"engine:{engine}", f"engine {engine} takes no new work", f"by {ADMIN}"
    )
    await person.api.ask("POST", f"/plans/{plan}/pause", {"reason": "a look first"})
    words = f"plan {plan} is paused by {ADMIN}: a look first"
    held = await person.shows_reason(plan, "plan_paused", f"plan:{plan}", words)
    assert held.task == shut.task
    await person.run(*shut.command("engine resume"))
    await person.shows_reason(plan, "plan_paused", f"plan:{plan}", words)
    await person.run(*held.command("plan resume"))
    await person.runs(held.task)


@pytest.mark.parametrize("verb", ["pause", "drain"])
async def test_a_task_of_an_engine_that_takes_nothing_new(person: Person, verb: str) -> None:
    engine = await person.engine()
    await person.run("engine", verb, engine, "--reason", "a disk is replaced")
    plan = await person.plan(engine)
    word = {"pause": "paused", "drain": "draining"}[verb]
    shown_reason = await person.shows_reason(
        plan,
        "engine_paused",
        f"engine:{engine}",
        f"engine {engine} takes no new work ({engine} is {word}: by {ADMIN}: a disk is replaced)",
    )
    await person.run(*shown_reason.command("engine resume"))
    await person.runs(shown_reason.task)


@pytest.mark.parametrize("of", ["engine", "plan"])
async def test_a_task_that_has_no_start_token(person: Person, of: str) -> None:
    slow = {"starts_per_minute": 2}
    engine = await person.engine(**({"limits": {"starts_at_once": 1, **slow}} if of == "engine" else {}))
    plan = await person.plan(engine, 2, **({"rules": slow} if of == "plan" else {}))
    holder = engine if of == "engine" else plan
    shown_reason = await person.shows_reason(
        plan,
        "start_rate",
        f"{of}:{holder}",
        f"the start rate of {of} {holder} is used up (at most 2 starts a minute",
        "the next start may go at 20",
    )
    until_at = datetime.fromisoformat(shown_reason.waiting["until_at"])
    assert until_at <= datetime.fromisoformat(shown_reason.waiting["since_at"]) + timedelta(seconds=31)
    command = shown_reason.command("engine update" if of == "engine" else "plan rules", N="6000")
    await person.run(*command)
    await person.runs(shown_reason.task)
    assert datetime.now(UTC) < until_at, "time freed it, not the remedy"


async def test_a_task_behind_a_plan_of_higher_priority(person: Person) -> None:
    engine = await person.engine(limits={"concurrency": 1})
    holds = await person.plan(engine)
    await person.in_state(holds, "RUNNING")
    plan = await person.plan(engine)
    urgent = await person.plan(engine, rules={"priority": 90})
    shown_reason = await person.shows_reason(
        plan, "priority", f"plan:{urgent}", f"plan {urgent} goes first", "plan priority 90"
    )
    await person.run(*shown_reason.command("plan rules", N="95"))
    await person.shows_reason(urgent, "priority", f"plan:{plan}", f"plan {plan} goes first", "plan priority 95")
    await person.cancel(holds)
    await person.runs(shown_reason.task)


async def test_a_task_behind_the_first_that_are_tried_alone(person: Person) -> None:
    plan = await person.plan(await person.engine(), 2, rules={"canary": {"first": 1}})
    shown_reason = await person.shows_reason(
        plan, "canary", f"plan:{plan}", f"the first items of plan {plan} are tried alone (the first 1 are tried alone)"
    )
    await person.run(*shown_reason.command("plan rules", FILE="-"), stdin="{}")
    await person.runs(shown_reason.task)


async def test_a_task_that_is_tried_again_at_its_time_and_not_before(person: Person) -> None:
    retries = {"max_attempts": 5, "delay_seconds": 20, "max_delay_seconds": 20}
    plan = await person.plan(await person.engine(), 16, {"exit_code": 3, "message": "no luck"}, retries=retries)
    await person.in_state(plan, "QUEUED", 16)
    shown_reason = await person.shows_reason(
        plan, "retry_delay", f"plan:{plan}", "does not start before 20", "exit code 3: no luck"
    )
    waiting = await person.api.every(f"/tasks?plan={plan}&why=retry_delay")
    assert all(one["waiting"]["until_at"] == one["not_before_at"] for one in waiting)
    soonest = min(waiting, key=lambda one: one["not_before_at"])

    async def tried_again() -> bool:
        events = (await person.api.ask("GET", f"/tasks/{soonest['id']}/events"))["items"]
        sent = [
            datetime.fromisoformat(one["at"])
            for one in events
            if one["state"] == "SUBMITTING" and one["attempt"] == soonest["attempt"]
        ]
        assert all(at >= datetime.fromisoformat(soonest["not_before_at"]) for at in sent)
        return bool(sent)

    await until_async(tried_again, seconds=SECONDS, why="it starts by itself then")
    await person.run(*shown_reason.command("task cancel"), "--yes")

    async def given_up() -> bool:
        return (await person.api.ask("GET", f"/tasks/{shown_reason.task}"))["state"] == "CANCELLED"

    await until_async(given_up, seconds=SECONDS, why="it was given up")


async def test_tasks_of_an_engine_that_is_down_say_that_it_is_unreachable_and_that_its_breaker_is_open(
    person: Person,
) -> None:
    engine = await person.engine(breaker={"failures": 2, "open_seconds": 60})
    async with stopped(person.stack, SCRIPTED):
        sent = await person.plan(engine)
        unreachable = await person.shows_reason(
            sent,
            "engine_unreachable",
            f"engine:{engine}",
            f"engine {engine} cannot be reached ({engine} does not answer: Cannot connect to host",
        )
        plan = await person.plan(engine)
        opened = await person.shows_reason(
            plan,
            "breaker_open",
            f"engine:{engine}",
            f"the breaker of engine {engine} is open ({engine} does not answer: Cannot connect to host",
            "it is asked again at 20",
        )
        state = (await person.api.ask("GET", f"/engines/{engine}"))["state"]
        assert opened.waiting["since_at"] == state["breaker_since_at"]
        test = await asyncio.to_thread(person.stack.command, *opened.command("engine test"), "--wait")
        assert test.returncode == exit_codes.BADLY, "it does not answer"
    await person.run(*opened.command("engine test"), "--wait")
    await person.runs(opened.task)
    await person.runs(unreachable.task)


async def test_a_task_of_an_engine_on_a_host_where_no_executor_runs(person: Person) -> None:
    host = unique("host")
    engine = await person.engine({"kind": "process", "host_id": host})
    stampit, file = person.stack.signalbox.programs / "stampit", person.stack.signalbox.work / unique("stamp")
    work = {"kind": "process", "argv": [str(stampit), str(file), "0.1"]}
    plan = await person.start({"name": "far away", "items": [{"key": "a", "engine": engine, "work": work}]})
    shown_reason = await person.shows_reason(
        plan,
        "engine_unreachable",
        f"engine:{engine}",
        f"engine {engine} cannot be reached (no executor that runs can reach {engine}: its host is {host})",
        "start an executor that can reach it",
    )
    async with executor_of(person.stack, host):
        await person.runs(shown_reason.task)
        assert (await person.api.ended(plan, seconds=SECONDS))["state"] == "SUCCEEDED"


async def test_a_task_whose_engines_definition_the_executor_has_not_seen(person: Person, tmp_path: Path) -> None:
    async with person.stack.as_program(EXECUTOR, "held_definitions.py", DOOR=str(tmp_path / "door")):
        engine = await person.engine()
        plan = await person.plan(engine)
        revision = (await person.api.ask("GET", f"/engines/{engine}"))["revision"]
        shown_reason = await person.shows_reason(
            plan,
            "definition_not_seen",
            f"engine:{engine}",
            f"the executor has not seen the definition of engine {engine} (engine definition {engine} of r{revision}",
            "goes on when it arrives",
        )
        assert "signalbox.executor.control" in await person.run(*shown_reason.command("status"))
        (tmp_path / "door").touch()
        await person.runs(shown_reason.task)


async def test_a_task_whose_plans_rules_were_lost(person: Person, tmp_path: Path) -> None:
    await restarted(person.stack, PLANNER, SIGNALBOX_RECONCILE_SECONDS="1")
    async with person.stack.as_program(EXECUTOR, "lost_rules.py", DOOR=str(tmp_path / "door")):
        plan = await person.plan(await person.engine())
        shown_reason = await person.shows_reason(
            plan,
            "rules_not_seen",
            f"plan:{plan}",
            f"the executor has not seen the rules of plan {plan}",
            "the planner sends them again by itself",
        )
        assert "signalbox.planner.control" in await person.run(*shown_reason.command("status"))
        (tmp_path / "door").touch()
        await person.runs(shown_reason.task)
    await restarted(person.stack, PLANNER)


async def test_a_plan_while_no_executor_runs(person: Person) -> None:
    engine = await person.engine()
    async with stopped(person.stack, EXECUTOR):
        plan = await person.plan(engine)

        async def shown_reason() -> bool:
            return "no executor runs: nothing is started or watched" in await person.run("plan", "show", plan)

        await until_async(shown_reason, seconds=SECONDS, why="the plan does not say that no executor runs")
    [task] = await person.in_state(plan, "RUNNING")
    await person.runs(task)


async def test_a_list_of_what_waits_says_for_what_and_of_which_plan(person: Person) -> None:
    plan = await person.plan(await person.engine(), 2, rules={"limit": 1})
    shown_reason = await person.shows_reason(plan, "plan_limit", f"plan:{plan}", "slots are taken")
    lists = (("task", "list", "--state", "QUEUED", "--plan", plan), ("plan", "list", "--state", "RUNNING"))
    tasks, plans = [next(line for line in (await person.run(*words)).splitlines() if plan in line) for words in lists]
    assert shown_reason.task in tasks
    assert re.search(r"plan_limit [\d.]+ s: 1 of 1 slots are taken", tasks)
    assert "plan_limit" in plans
    watched = await asyncio.to_thread(person.stack.command, "plan", "watch", plan, "--timeout", "1")
    assert watched.stderr.startswith(f"the limit of plan {plan} is used up")


@asynccontextmanager
async def stopped(stack: RunningStack, name: str) -> AsyncGenerator[None]:
    """The block runs while this process is not there."""
    service = stack.service(name)
    service.spec = supervisor.read_spec(service.folder)
    await asyncio.to_thread(service.process.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(service.launch)
        await stack.healthy(name)


async def restarted(stack: RunningStack, name: str, **once: str) -> None:
    service = stack.service(name)
    before = service.starts
    service.restart_with(once)
    await until(lambda: service.starts > before, why=f"{name} was not started again")
    await stack.healthy(name)


@asynccontextmanager
async def executor_of(stack: RunningStack, host: str) -> AsyncGenerator[None]:
    """A second executor, on a host of its own as far as it knows."""
    order = supervisor.read_spec(stack.service(EXECUTOR).folder)
    assert order is not None
    folder = stack.settings.stack / "second" / host
    folder.mkdir(parents=True)
    changes = {
        "SIGNALBOX_HOST_ID": host, "SIGNALBOX_PROCESS_FOLDER": str(folder),
        "SIGNALBOX_HTTP_PORT": str(free_ports(1)[0]),
    }  # fmt: skip
    environment = {**os.environ, **order.environment, **changes}
    command = [sys.executable, "-m", "signalbox_executor"]
    with (folder / "executor.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(*command, env=environment, stdin=DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        child.terminate()
        async with asyncio.timeout(SECONDS):
            await child.wait()
