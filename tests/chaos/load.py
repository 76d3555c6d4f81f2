"""The stories told to the API, by either gateway; a request is repeated with its key until somebody answers it."""

import asyncio
import itertools
import json
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import aiohttp

from chaos.plan import JOBS, ChaosPipeline, Deed, Story, Widening
from chaos.world import ENGINES, World

log = logging.getLogger(__name__)
ANSWER_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 180.0
FIRST_CONCURRENCY: Final = 25
END_SECONDS: Final = 120.0


class Unanswered(Exception):
    """Nobody answered a request for minutes, or it was refused although it was right."""


@dataclass
class Load:
    """One run's requests, and what came of them."""

    world: World
    seed: int
    session: aiohttp.ClientSession
    began: float = 0.0
    accepted: dict[str, Story] = field(default_factory=dict[str, Story])
    """Plan id → its story, for every plan the API took."""
    children: dict[str, str] = field(default_factory=dict[str, str])
    """Plan that retries → the plan it retries."""
    counts: Counter[str] = field(default_factory=Counter[str])
    unanswered: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._turn = itertools.count()
        self._urls: dict[str, str] = {}

    async def define(self, pipelines: Mapping[str, ChaosPipeline]) -> None:
        """Engines, jobs and pipelines."""
        for name in ENGINES:
            await self.ask("POST", "/engines", self._engine(name, FIRST_CONCURRENCY))
        for (name, script), engine in zip(JOBS.items(), itertools.cycle(ENGINES), strict=False):
            work = {"kind": "scripted", "script": script}
            await self.ask("POST", "/jobs", {"id": name, "name": name, "engine": engine, "work": work})
        for pipeline in pipelines.values():
            await self.ask("POST", "/pipelines", pipeline.definition)

    async def perform(self, stories: Sequence[Story], widenings: Sequence[Widening]) -> None:
        """All of them, each at its time."""
        self.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for story in stories:
                group.create_task(self._noted(self._perform(story)))
            for widening in widenings:
                group.create_task(self._noted(self._widen(widening)))

    async def _noted(self, asking: Coroutine[Any, Any, None]) -> None:
        """A story that cannot be told to its end is a finding; the others go on."""
        try:
            await asking
        except Unanswered as unanswered:
            self.unanswered.append(str(unanswered))

    # ------------------------------------------------------------------ one story

    async def _perform(self, story: Story) -> None:
        await self._until(story.at)
        if story.job:
            path, body = f"/jobs/{story.job}/start", {"reason": f"story {story.number}"}
        elif story.pipeline:
            path, body = f"/pipelines/{story.pipeline}/run", {"reason": f"story {story.number}"}
        else:
            path, body = "/plans", {"name": f"story {story.number}", "items": story.items, "rules": story.rules,
                                    "retries": story.retries}  # fmt: skip
        plan = await self.ask("POST", path, body, key=f"story-{story.number}")
        self.accepted[plan["id"]] = story
        self.counts["plans"] += 1
        for number, deed in enumerate(story.deeds):
            await asyncio.sleep(deed.after_seconds)
            await self._do(plan["id"], story, deed, key=f"story-{story.number}-{number}")

    async def _do(self, plan: str, story: Story, deed: Deed, *, key: str) -> None:
        match deed.verb:
            case "rules":
                rules = {**story.rules, **deed.body}
                done = await self._may(f"/plans/{plan}/rules", {"rules": rules}, key=key, method="PUT")
            case "cancel one":
                done = await self._cancel_one(plan, deed, key=key)
            case "retry":
                done = await self._after_its_end(plan, "retry", {}, key=key)
            case "rerun":
                done = await self._after_its_end(plan, "rerun", {"scope": "failed"}, key=key, only="FAILED")
            case verb:
                done = await self._may(f"/plans/{plan}/{verb}", deed.body, key=key)
        if done is not None:
            self.counts[deed.verb] += 1

    async def _cancel_one(self, plan: str, deed: Deed, *, key: str) -> dict[str, Any] | None:
        found = await self.ask("GET", f"/plans/{plan}/tasks?limit=200")
        live = [task for task in found["items"] if task["state"] not in ("SUCCEEDED", "FAILED", "CANCELLED")]
        return await self._may(f"/tasks/{live[0]['id']}/cancel", deed.body, key=key) if live else None

    async def _after_its_end(
        self, plan: str, verb: str, body: Mapping[str, Any], *, key: str, only: str = ""
    ) -> dict[str, Any] | None:
        """Run something of an ended plan again; with `only` not unless it ended so."""
        give_up_at = time.monotonic() + END_SECONDS
        while (shown := await self.ask("GET", f"/plans/{plan}?wait=2s&until=end"))["ended_at"] is None:
            if time.monotonic() > give_up_at:
                return None
        if only and shown["state"] != only:
            return None
        child = await self._may(f"/plans/{plan}/{verb}", body, key=key)
        if child is not None:
            self.children[child["id"]] = plan
        return child

    async def _widen(self, widening: Widening) -> None:
        await self._until(widening.at)
        engine = self._engine(widening.engine, widening.concurrency)
        await self.ask("PUT", f"/engines/{widening.engine}", engine)
        self.counts["engine limit"] += 1

    def _engine(self, name: str, concurrency: int) -> dict[str, Any]:
        return {
            "id": name,
            "name": name,
            "connection": {"kind": "scripted", "url": self.world.engine_url(name)},
            "group": ENGINES[name],
            "limits": {"concurrency": concurrency},
            "breaker": {"failures": 10, "open_seconds": 1},
            "observe_every_seconds": 0.3,
        }

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self.began + at - time.monotonic()))

    # ------------------------------------------------------------------ asking

    async def _may(
        self, path: str, body: Mapping[str, Any], *, key: str, method: str = "POST"
    ) -> dict[str, Any] | None:
        """None where the plan or task had ended meanwhile: that is a right answer too."""
        status, response = await self._answer(method, path, body, key)
        if status < 300:
            return response
        # the plan may not be known yet where a kill lost nothing but time: that is a conflict too
        if status == 409:
            return None
        raise Unanswered(f"{method} {path}: {status} {json.dumps(response)[:500]}")

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> dict[str, Any]:
        """The answer; raises `Unanswered` for a refusal."""
        status, response = await self._answer(method, path, body, key)
        if status >= 300 and not (status == 409 and "already" in response.get("detail", "")):
            raise Unanswered(f"{method} {path}: {status} {json.dumps(response)[:500]}")
        return response

    async def _answer(self, method: str, path: str, body: Any, key: str | None) -> tuple[int, dict[str, Any]]:
        """Repeated, at another gateway each time, until it is an answer of the API."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        headers = {"Authorization": f"Bearer {self.world.token}"}
        if key and method == "POST":
            headers["Idempotency-Key"] = f"{self.seed}-{key}"
        last = ""
        while time.monotonic() < give_up_at:
            url = self.world.gateways[next(self._turn) % len(self.world.gateways)]
            try:
                status, response = await self._once(method, f"{url}/api/v1{path}", body, headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                last = repr(error)
            else:
                if status < 500 and status != 429 and "request-in-progress" not in str(response.get("type")):
                    return status, response
                last = f"{status} {response}"
            self.counts["requests repeated"] += 1
            await asyncio.sleep(0.2)
        raise Unanswered(f"{method} {path}: nobody answered for {PATIENCE_SECONDS:.0f} s, last {last[:500]}")

    async def _once(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with self.session.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
            text = await answer.text()
            response: Any = json.loads(text) if text.startswith("{") else {"detail": text}
            return answer.status, cast("dict[str, Any]", response)
