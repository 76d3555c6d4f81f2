"""What is asked of the stack: a pure function of the seed. A story is one plan and what is done to it afterwards."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Script = dict[str, Any]
STORY_ITEMS: Final = (4, 60)
NARROW_ITEMS: Final = 12
PIPELINES: Final = 8
TASKS_A_PIPELINE: Final = 40
"""One plan of a pipeline for so many tasks of a run."""
JOBS: Final = {"chaos-short": {"run_seconds": 0.2}, "chaos-lost": {"run_seconds": 0.3, "lose_answers": 1}}


@dataclass(frozen=True, slots=True)
class Deed:
    """Something done to a plan, so long after the deed before it."""

    after_seconds: float
    verb: str
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Story:
    """One plan, `at` seconds after the beginning."""

    number: int
    at: float
    items: Sequence[Mapping[str, Any]] = ()
    job: str = ""
    """Instead of items: a job that is started."""
    pipeline: str = ""
    """Instead of items: a pipeline that is run."""
    rules: Mapping[str, Any] = field(default_factory=dict[str, Any])
    retries: Mapping[str, Any] = field(default_factory=dict[str, Any])
    deeds: Sequence[Deed] = ()
    left: bool = False
    """It is not to end: what it leaves active is legally so."""


@dataclass(frozen=True, slots=True)
class Widening:
    """An engine's limit changes."""

    at: float
    engine: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class ChaosPipeline:
    """A pipeline that stories run."""

    definition: Mapping[str, Any]
    items: int
    """How many items a plan of it has."""


def pipelines(seed: int, *, engines: Sequence[str]) -> dict[str, ChaosPipeline]:
    """Graphs of steps that succeed, fail, handle the failure of others, and are undone."""
    source = random.Random(f"{seed}/pipelines")
    return {id: _pipeline(source, id, engines) for id in (f"chaos-graph-{n}" for n in range(PIPELINES))}


def _pipeline(source: random.Random, id: str, engines: Sequence[str]) -> ChaosPipeline:
    steps: list[dict[str, Any]] = []
    items = 0
    for n in range(source.randint(3, 6)):
        waits = source.sample(range(n), min(n, source.choice([1, 1, 2])))
        whens = source.choices(["on_success", "on_failure", "always"], [8, 1, 1], k=len(waits))
        step = _step(source, f"s{n}", engines, required=source.random() < 0.8)
        step["depends_on"] = [{"step": f"s{m}", "when": when} for m, when in zip(waits, whens, strict=True)]
        if source.random() < 0.25:
            step["matrix"] = {"part": list(range(source.randint(2, 4)))}
        items += len(step.get("matrix", {}).get("part", [0]))
        steps.append(step)
    for undone in source.sample([step["id"] for step in steps], 2):
        steps.append({**_step(source, f"undo_{undone}", engines), "compensates": undone})
        items += 1
    return ChaosPipeline({"id": id, "name": id, "steps": steps}, items)


def _step(source: random.Random, id: str, engines: Sequence[str], **more: Any) -> dict[str, Any]:
    work = {"kind": "scripted", "script": _script(source, may_run_on=False)}
    retries = {"max_attempts": source.choice([1, 2]), "delay_seconds": 0.2, "max_delay_seconds": 1}
    return {"id": id, "engine": source.choice(engines), "work": work, "retries": retries, **more}


def stories(
    seed: int, *, tasks: int, seconds: float, engines: Sequence[str], script: Script | None = None
) -> list[Story]:
    """Stories with so many tasks in all, most of them in plans, within so many seconds; all by one script if given."""
    source = random.Random(f"{seed}/stories")
    graphs = {} if script else pipelines(seed, engines=engines)
    stories_of_run: list[Story] = [_held(0, engines), _endless(1, engines)]
    left = tasks - sum(len(story.items) for story in stories_of_run)
    for _ in range(tasks // TASKS_A_PIPELINE if graphs else 0):
        id, at = source.choice(list(graphs)), round(source.uniform(0, seconds), 2)
        stories_of_run.append(Story(len(stories_of_run), at, pipeline=id, deeds=_deeds_of_pipeline(source)))
        left -= graphs[id].items
    while left > 0:
        at = round(source.uniform(0, seconds), 2)
        if source.random() < 0.25:
            stories_of_run.append(Story(len(stories_of_run), at, job=source.choice(list(JOBS))))
            left -= 1
        else:
            story = _plan(source, len(stories_of_run), at, min(left, source.randint(*STORY_ITEMS)), engines, script)
            stories_of_run.append(story)
            left -= len(story.items)
    return sorted(stories_of_run, key=lambda story: (story.at, story.number))


def widenings(seed: int, *, seconds: float, engines: Sequence[str], every_seconds: float = 12.0) -> list[Widening]:
    """The limits of the engines go up and down all the time."""
    source = random.Random(f"{seed}/widenings")
    count = int(seconds / every_seconds)
    return sorted(
        (
            Widening(round((n + source.random()) * every_seconds, 2), source.choice(engines), source.randint(6, 40))
            for n in range(count)
        ),
        key=lambda widening: widening.at,
    )


def _plan(
    source: random.Random, number: int, at: float, count: int, engines: Sequence[str], script: Script | None
) -> Story:
    name, deeds = _deeds(source)
    killed = name == "kill"
    # a narrow limit for few items only: the run is over when the last plan is
    limit = source.choice([1, 2, 5] if count <= NARROW_ITEMS else [None, 10, 20, 30])
    rules = {"priority": source.choice([10, 50, 50, 90]), **({"limit": limit} if limit else {})}
    items = [
        _item(number, n, source.choice(engines), script or _script(source, may_run_on=killed)) for n in range(count)
    ]
    retries = {"max_attempts": source.choice([1, 2, 3]), "delay_seconds": 0.2, "max_delay_seconds": 1}
    return Story(number, at, items, rules=rules, retries=retries, deeds=deeds)


def _deeds(source: random.Random) -> tuple[str, tuple[Deed, ...]]:
    soon, later = round(source.uniform(0.2, 3), 2), round(source.uniform(1, 5), 2)
    low, high = source.randint(1, 4), source.randint(5, 30)
    name = source.choices(["", "pause", "rules", "kill", "cancel", "one", "retry"], [35, 15, 20, 8, 5, 7, 10])[0]
    stories_of_run: dict[str, tuple[Deed, ...]] = {
        "": (),
        "pause": (Deed(soon, "pause"), Deed(later, "resume")),
        "rules": (Deed(soon, "rules", {"limit": low}), Deed(later, "rules", {"limit": high})),
        "kill": (Deed(later, "cancel", {"kill": True}),),
        "cancel": (Deed(later, "cancel", {"kill": False}),),
        "one": (Deed(soon, "cancel one", {"kill": True}),),
        "retry": (Deed(0, "retry"),),
    }
    return name, stories_of_run[name]


def _deeds_of_pipeline(source: random.Random) -> tuple[Deed, ...]:
    soon, later = round(source.uniform(0.2, 3), 2), round(source.uniform(1, 5), 2)
    return source.choices(
        [
            (),
            (Deed(soon, "pause"), Deed(later, "resume")),
            (Deed(later, "cancel", {"kill": True}),),
            (Deed(later, "cancel", {"kill": False}),),
            (Deed(0, "rerun"),),
        ],
        [50, 15, 8, 7, 20],
    )[0]


def _script(source: random.Random, *, may_run_on: bool) -> Script:
    run: Script = {"run_seconds": round(source.uniform(0.05, 1.5), 2)}
    # slow accepts and slow answers are what kills fall into; lost ones are what a retry must not double
    trouble: list[tuple[int, Script]] = [
        (44, {}),
        (8, {"lose_answers": 1}),
        (4, {"lose_answers": 2}),
        (6, {"lose_requests": 1}),
        (10, {"answer_delay_seconds": round(source.uniform(0.2, 2), 2)}),
        (6, {"accept_delay_seconds": round(source.uniform(0.2, 1), 2)}),
        (4, {"throttle": 1}),
        (4, {"pending_seconds": round(source.uniform(0.2, 1), 2)}),
        (3, {"run_seconds": round(source.uniform(4, 7), 2)}),
        (10, {"exit_code": 3}),
        (3, {"refuse": "not today"}),
        (1, {"down_seconds": 0.5}),
    ]
    chosen = source.choices([script for _, script in trouble], [weight for weight, _ in trouble])[0]
    if may_run_on and source.random() < 0.3:
        return {"never_ends": True, "ignore_cancels": source.randint(0, 1), "stop_seconds": 0.2}
    return {**run, **chosen}


def _held(number: int, engines: Sequence[str]) -> Story:
    """Paused at once, and left so."""
    items = [_item(number, n, engines[0], {"run_seconds": 0.1}) for n in range(5)]
    return Story(number, 0.5, items, rules={"limit": 1}, deeds=(Deed(0, "pause"),), left=True)


def _endless(number: int, engines: Sequence[str]) -> Story:
    """Runs to the end and beyond: it must still be the same runs then."""
    items = [_item(number, n, engine, {"never_ends": True}) for n, engine in enumerate(engines)]
    return Story(number, 0.0, items, left=True)


def _item(story: int, number: int, engine: str, script: Script) -> dict[str, Any]:
    return {"key": f"s{story}/{number:04}", "engine": engine, "work": {"kind": "scripted", "script": script}}
